-- Index: the primary key.
SELECT number, name, checksum, applied_at FROM gristmill_addition ORDER BY number
