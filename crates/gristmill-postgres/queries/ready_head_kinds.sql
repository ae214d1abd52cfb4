-- Index: the primary key; reads at most $2 rows.
SELECT DISTINCT kind FROM (SELECT kind FROM {s}.ready WHERE queue = $1 ORDER BY priority, seq LIMIT $2) head
