-- Index: the primary key.
DELETE FROM gristmill_worker WHERE key = ?1
