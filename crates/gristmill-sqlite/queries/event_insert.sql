-- Index: the unique one on name.
INSERT INTO gristmill_event(name, sent_at, keep_until, payload) VALUES (?1, ?2, ?3, ?4) ON CONFLICT(name) DO NOTHING
