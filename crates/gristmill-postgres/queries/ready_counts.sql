-- Index: the primary key; reads at most $2 rows.
SELECT kind, count(*) FROM (SELECT kind FROM {s}.ready WHERE queue = $1 LIMIT $2) head GROUP BY kind
