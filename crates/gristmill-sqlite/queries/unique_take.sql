-- Index: the primary key.
INSERT INTO gristmill_unique(kind, key, task, until, until_started) VALUES (?1, ?2, ?3, ?4, ?5)
ON CONFLICT(kind, key) DO UPDATE SET task = excluded.task, until = excluded.until, until_started = excluded.until_started
