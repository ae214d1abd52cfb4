-- Index: gristmill_memory_awaits, in its order; the unique one on the id of task; the primary keys of outcome and scheduled.
-- What is awaited, from one place on, by whom, and whether that task has ended, or stands still for it: what an attempt that failed puts
-- off has its row, with a state other than ?5.
SELECT m.awaits, m.task, m.position, m.code, m.text, m.until, t.seq IS NULL,
       EXISTS (SELECT 1 FROM gristmill_outcome o WHERE o.seq = t.seq AND o.ended <> 0),
       EXISTS (SELECT 1 FROM gristmill_scheduled s WHERE s.seq = t.seq
         AND NOT EXISTS (SELECT 1 FROM gristmill_outcome o WHERE o.seq = s.seq AND o.claim_no = s.claim_no AND o.state <> ?5))
  FROM gristmill_memory m INDEXED BY gristmill_memory_awaits LEFT JOIN gristmill_task t ON t.id = m.task
  WHERE m.awaits IS NOT NULL AND m.dropped = 0 AND (m.awaits, m.task, m.position) > (?1, ?2, ?3) AND m.awaits < ?4
  ORDER BY m.awaits, m.task, m.position LIMIT ?6
