-- Index: scheduled_due; reads at most $2 rows.
SELECT count(*) FROM (SELECT FROM {s}.scheduled WHERE run_at <= {now} - $3 LIMIT $2) head
