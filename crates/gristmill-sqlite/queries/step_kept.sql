-- Index: gristmill_task_member; the primary key of outcome.
-- How many members of each step have ended and are kept beyond ?2.
SELECT t.step, count(*) FROM gristmill_task t INDEXED BY gristmill_task_member
  JOIN gristmill_outcome o ON o.seq = t.seq AND o.ended <> 0 AND o.owed = 0 AND (o.keep_until IS NULL OR o.keep_until > ?2)
  WHERE t.workflow = ?1 GROUP BY t.step
