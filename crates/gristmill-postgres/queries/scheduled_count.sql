-- Index: scheduled_queue; reads at most $2 rows.
SELECT count(*) FROM (SELECT FROM {s}.scheduled WHERE queue = $1 LIMIT $2) head
