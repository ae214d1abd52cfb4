-- Index: the unique index on name.
INSERT INTO gristmill_queue(name) VALUES (?1) ON CONFLICT(name) DO NOTHING
