-- Index: the primary key.
INSERT INTO gristmill_live(seq, logs, progress) VALUES (?1, ?2, ?3)
  ON CONFLICT(seq) DO UPDATE SET logs = coalesce(excluded.logs, logs), progress = coalesce(excluded.progress, progress)
