-- Index: the primary key.
DELETE FROM gristmill_live WHERE seq = ?1
