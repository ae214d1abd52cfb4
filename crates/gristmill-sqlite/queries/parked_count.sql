-- Index: the primary key; reads at most ?3 rows.
SELECT count(*), min(CASE task WHEN 0 THEN seq ELSE task END)
  FROM (SELECT seq, task FROM gristmill_parked WHERE queue = ?1 AND kind = ?2 LIMIT ?3)
