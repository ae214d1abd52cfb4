-- Index: the primary key.
DELETE FROM gristmill_waiting WHERE seq = ?1
