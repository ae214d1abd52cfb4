-- Index: the primary key.
INSERT INTO gristmill_tick(schedule, at, written_at, outcome, task, reason) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
  ON CONFLICT(schedule, at) DO UPDATE SET written_at = excluded.written_at, outcome = excluded.outcome, task = excluded.task,
                                          reason = excluded.reason
