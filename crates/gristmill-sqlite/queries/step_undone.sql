-- Index: gristmill_blocked_queue; the primary keys; gristmill_step_chore.
-- Workflows whose members are among the first ?2 blocked tasks of a queue, and are yet to be let go, or to be cancelled.
SELECT DISTINCT t.workflow
  FROM (SELECT seq FROM gristmill_blocked WHERE queue = ?1 LIMIT ?2) b JOIN gristmill_task t ON t.seq = b.seq
  WHERE t.workflow IS NOT NULL
    AND EXISTS (SELECT 1 FROM gristmill_step s INDEXED BY gristmill_step_chore WHERE s.workflow = t.workflow AND s.chore <> 0 AND s.chore <> 3)
