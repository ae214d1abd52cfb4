-- Index: none: reads at most ?1 rows.
SELECT count(*) FROM (SELECT 1 FROM gristmill_parked LIMIT ?1)
