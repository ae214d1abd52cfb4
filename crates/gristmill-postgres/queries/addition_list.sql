-- Index: the primary key.
SELECT number, name, checksum, applied_at FROM {s}.addition ORDER BY number
