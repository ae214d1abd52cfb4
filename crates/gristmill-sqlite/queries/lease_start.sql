-- Index: the primary key.
UPDATE gristmill_lease SET started = 1 WHERE seq = ?1 AND mark = ?2
