-- Index: the primary key.
SELECT name FROM gristmill_kind WHERE id = ?1
