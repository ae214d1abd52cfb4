-- Index: gristmill_workflow_keep, in its order; the primary key of step.
SELECT w.id FROM gristmill_workflow w WHERE w.keep_until IS NOT NULL AND w.keep_until <= ?1
    AND NOT EXISTS (SELECT 1 FROM gristmill_step s WHERE s.workflow = w.id AND s.chore <> 0)
  ORDER BY w.keep_until LIMIT ?2
