-- Index: the primary key.
-- What is spent of a rate by now, and until when that matters.
INSERT INTO gristmill_key(key, set_to, spent, spent_until) VALUES (?1, 0, ?2, ?3)
ON CONFLICT(key) DO UPDATE SET spent = excluded.spent, spent_until = excluded.spent_until
