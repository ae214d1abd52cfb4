-- Index: the primary key.
DELETE FROM gristmill_slot WHERE key = ?1 AND task = ?2
