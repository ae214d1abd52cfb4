-- Index: the unique index on name.
INSERT INTO {s}.queue(name, paused, known) VALUES ($1, $2, true)
  ON CONFLICT (name) DO UPDATE SET paused = excluded.paused, known = true
