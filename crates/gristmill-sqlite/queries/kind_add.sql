-- Index: the unique index on name.
INSERT INTO gristmill_kind(name) VALUES (?1) ON CONFLICT(name) DO NOTHING
