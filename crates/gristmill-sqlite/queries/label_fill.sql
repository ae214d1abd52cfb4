-- Index: the primary key of task, for a range of it.
INSERT OR IGNORE INTO gristmill_label(label, seq)
  SELECT label, seq FROM gristmill_task_label WHERE seq >= ?1 AND seq < ?2
