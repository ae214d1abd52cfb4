-- Index: the primary key.
INSERT INTO {s}.key(key, set_to, set_pace) VALUES ($1, $2, $3) ON CONFLICT (key) DO UPDATE SET set_to = excluded.set_to, set_pace = excluded.set_pace
