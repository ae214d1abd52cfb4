-- Index: the unique index on name.
SELECT id FROM gristmill_kind WHERE name = ?1
