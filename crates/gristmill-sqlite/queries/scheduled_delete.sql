-- Index: the primary key.
DELETE FROM gristmill_scheduled WHERE seq = ?1
