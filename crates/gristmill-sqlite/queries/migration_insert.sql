-- Index: the primary key.
INSERT INTO gristmill_migration(number, name, checksum, applied_at) VALUES (?1, ?2, ?3, ?4)
