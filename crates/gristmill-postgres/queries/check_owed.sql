-- Index: outcome_owed; reads at most $1 rows.
SELECT count(*) FROM (SELECT FROM {s}.outcome WHERE owed <> 0 LIMIT $1) head
