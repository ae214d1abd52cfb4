-- Index: the primary key.
DELETE FROM gristmill_key WHERE key = ?1
