-- Index: the primary key.
UPDATE gristmill_lease SET noted = 1 WHERE seq = ?1 AND mark = ?2
