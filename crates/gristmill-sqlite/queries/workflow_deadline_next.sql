-- Index: gristmill_workflow_deadline.
SELECT min(deadline_at) FROM gristmill_workflow INDEXED BY gristmill_workflow_deadline
  WHERE deadline_at IS NOT NULL AND ended = 0 AND cancelled = 0
