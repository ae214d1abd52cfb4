-- Index: gristmill_outcome_keep, in its order; the primary keys of task and step. Without members that a retry has yet to see to, which are kept
-- or run again.
SELECT o.seq FROM gristmill_outcome o WHERE o.keep_until IS NOT NULL AND o.keep_until <= ?1
  AND NOT EXISTS (SELECT 1 FROM gristmill_task t JOIN gristmill_step s ON s.workflow = t.workflow AND s.number = t.step
    WHERE t.seq = o.seq AND s.chore IN (4, 5, 6))
  ORDER BY o.keep_until LIMIT ?2
