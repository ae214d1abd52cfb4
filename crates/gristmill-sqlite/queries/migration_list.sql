-- Index: the primary key.
SELECT number, name, checksum, applied_at FROM gristmill_migration ORDER BY number
