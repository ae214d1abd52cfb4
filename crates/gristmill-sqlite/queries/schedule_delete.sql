-- Index: the unique index on name.
DELETE FROM gristmill_schedule WHERE name = ?1
