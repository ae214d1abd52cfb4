-- Index: gristmill_tick_written, then the primary key.
DELETE FROM gristmill_tick WHERE (schedule, at) IN
  (SELECT schedule, at FROM gristmill_tick WHERE written_at <= ?1 ORDER BY written_at LIMIT ?2)
