-- Index: gristmill_workflow_quiet, in its order.
-- Those that have not changed since ?1, and those that seem to have changed after ?3, which is still to come: a clock was ahead then, and they
-- would not be looked at before that time comes.
SELECT id FROM (
  SELECT id FROM gristmill_workflow INDEXED BY gristmill_workflow_quiet WHERE ended = 0 AND touched_at > ?3 LIMIT ?2
) UNION ALL SELECT id FROM (
  SELECT id FROM gristmill_workflow INDEXED BY gristmill_workflow_quiet WHERE ended = 0 AND touched_at <= ?1 ORDER BY touched_at LIMIT ?2
) LIMIT ?2
