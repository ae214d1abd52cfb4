-- Index: gristmill_workflow_quiet, in its order.
SELECT id FROM gristmill_workflow INDEXED BY gristmill_workflow_quiet
  WHERE ended = 0 AND touched_at <= ?1 ORDER BY touched_at LIMIT ?2
