-- Index: the primary key.
SELECT number, name, checksum, applied_at FROM {s}.migration ORDER BY number
