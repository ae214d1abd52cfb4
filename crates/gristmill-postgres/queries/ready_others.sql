-- Index: the primary key; reads at most $3 rows of other types than $2. Whether there are so many, and whether ready_by_kind is there.
SELECT (SELECT count(*) FROM (SELECT FROM {s}.ready WHERE queue = $1 AND kind <> ALL ($2) LIMIT $3) others) >= $3,
       coalesce((SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass('{l}.ready_by_kind')), false)
