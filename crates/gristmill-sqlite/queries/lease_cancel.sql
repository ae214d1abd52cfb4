-- Index: the primary key.
UPDATE gristmill_lease SET cancel = 1 WHERE seq = ?1
