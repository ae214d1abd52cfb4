-- Index: waiting_queue; reads at most $2 rows.
SELECT count(*) FROM (SELECT FROM {s}.waiting WHERE queue = $1 LIMIT $2) head
