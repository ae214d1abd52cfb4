-- Index: the primary key.
DELETE FROM gristmill_step WHERE workflow = ?1
