-- Index: gristmill_outcome_owed; reads at most ?1 rows.
SELECT count(*) FROM (SELECT 1 FROM gristmill_outcome WHERE owed <> 0 LIMIT ?1)
