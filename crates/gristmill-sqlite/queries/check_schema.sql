-- Index: the primary keys. How far the schema is.
SELECT (SELECT coalesce(max(number), 0) FROM gristmill_migration), (SELECT count(*) FROM gristmill_addition)
