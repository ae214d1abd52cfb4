-- Index: blocked_queue; reads at most $2 rows.
SELECT count(*) FROM (SELECT FROM {s}.blocked WHERE queue = $1 LIMIT $2) head
