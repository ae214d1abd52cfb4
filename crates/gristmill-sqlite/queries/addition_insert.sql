-- Index: the primary key.
INSERT INTO gristmill_addition(number, name, checksum, applied_at) VALUES (?1, ?2, ?3, ?4)
