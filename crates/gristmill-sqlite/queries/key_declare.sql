-- Index: the primary key.
INSERT INTO gristmill_key(key, declared, pace, set_to) VALUES (?1, ?2, ?3, ?4)
ON CONFLICT(key) DO UPDATE SET declared = excluded.declared, pace = excluded.pace, set_to = coalesce(excluded.set_to, set_to)
