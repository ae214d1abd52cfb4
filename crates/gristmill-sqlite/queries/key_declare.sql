-- Index: the primary key.
INSERT INTO gristmill_key(key, declared) VALUES (?1, ?2) ON CONFLICT(key) DO UPDATE SET declared = excluded.declared
