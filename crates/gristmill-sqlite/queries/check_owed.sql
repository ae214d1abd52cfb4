-- Index: gristmill_outcome_owed, until ?1 are found.
SELECT count(*) FROM (SELECT 1 FROM gristmill_outcome INDEXED BY gristmill_outcome_owed WHERE owed <> 0 LIMIT ?1)
