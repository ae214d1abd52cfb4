-- Index: the primary key.
INSERT INTO {s}.key(key) VALUES ($1) ON CONFLICT (key) DO NOTHING
