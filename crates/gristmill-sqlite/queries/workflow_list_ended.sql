-- Index: gristmill_workflow_ended, in its order.
SELECT seq, id, name, key, tags, iif(hold = 0, paused, hold & 1), cancelled, ended, created_at, finished_at, attempt, deadline_at, overdue FROM gristmill_workflow
  WHERE ended = ?2 AND seq < ?1 ORDER BY seq DESC
