-- Index: the primary key.
DELETE FROM gristmill_blocked WHERE seq = ?1
