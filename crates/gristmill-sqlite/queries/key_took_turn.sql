-- Index: the primary key.
INSERT INTO gristmill_key(key, turn, spent_until) VALUES (?1, ?2, ?3)
ON CONFLICT(key) DO UPDATE SET turn = excluded.turn, spent_until = excluded.spent_until
