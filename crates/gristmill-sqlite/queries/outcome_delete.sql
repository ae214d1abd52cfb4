-- Index: the primary key.
DELETE FROM gristmill_outcome WHERE seq = ?1
