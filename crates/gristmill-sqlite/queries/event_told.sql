-- Index: the primary key.
UPDATE gristmill_event SET untold = 0 WHERE seq = ?1
