-- Index: gristmill_workflow_deadline, in its order.
SELECT id FROM gristmill_workflow INDEXED BY gristmill_workflow_deadline
  WHERE deadline_at IS NOT NULL AND ended = 0 AND cancelled = 0 AND deadline_at <= ?1 ORDER BY deadline_at LIMIT ?2
