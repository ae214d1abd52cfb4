-- Index: the primary key.
INSERT INTO gristmill_unique(kind, key, task, until, lasts) VALUES (?1, ?2, ?3, ?4, ?5)
ON CONFLICT(kind, key) DO UPDATE SET task = excluded.task, until = excluded.until, lasts = excluded.lasts
