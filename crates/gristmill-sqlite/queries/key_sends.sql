-- Index: the primary key.
INSERT INTO gristmill_key(key, away) VALUES (?1, ?2) ON CONFLICT(key) DO UPDATE SET away = excluded.away
