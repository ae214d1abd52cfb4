-- Index: the primary key.
INSERT INTO gristmill_key(key, declared, pace) VALUES (?1, ?2, ?3) ON CONFLICT(key) DO UPDATE SET declared = excluded.declared, pace = excluded.pace
