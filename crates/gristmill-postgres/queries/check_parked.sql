-- Index: none: reads at most $1 rows.
SELECT count(*) FROM (SELECT FROM {s}.parked LIMIT $1) head
