-- Index: the primary key.
DELETE FROM gristmill_moved WHERE task = ?1
