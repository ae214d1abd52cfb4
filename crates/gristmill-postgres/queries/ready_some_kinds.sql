-- Index: the primary key; reads at most $2 rows. The second column tells whether there are more.
SELECT array_agg(DISTINCT kind), count(*) >= $2
FROM (SELECT kind FROM {s}.ready WHERE queue = $1 ORDER BY priority, seq LIMIT $2) head
