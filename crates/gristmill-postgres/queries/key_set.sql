-- Index: the primary key.
INSERT INTO {s}.key(key, set_to) VALUES ($1, $2) ON CONFLICT (key) DO UPDATE SET set_to = excluded.set_to
