-- Index: the primary key.
DELETE FROM gristmill_unique WHERE kind = ?1 AND key = ?2
