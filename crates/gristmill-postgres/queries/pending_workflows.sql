-- Index: blocked_queue; the primary keys of task and workflow; report_workflow, step_chore.
-- Workflows of which the first $2 blocked tasks of these queues are members, and that have yet to learn what became of others, or to go
-- through those: a sweep lets these tasks go, or cancels them.
SELECT w.id, w.seq
FROM (
  SELECT DISTINCT t.workflow
  FROM (SELECT b.id FROM {s}.blocked b JOIN {s}.queue q ON q.id = b.queue WHERE q.name = ANY($1) LIMIT $2) b
  JOIN {s}.task t ON t.id = b.id
) t
JOIN {s}.workflow w ON w.id = t.workflow
WHERE (EXISTS (SELECT FROM {s}.report r WHERE r.workflow = w.id)
       OR EXISTS (SELECT FROM {s}.step s WHERE s.workflow = w.id AND s.chore <> 0 AND s.chore <> 3))
  AND NOT EXISTS (SELECT FROM {s}.step s WHERE s.workflow = w.id AND s.state NOT BETWEEN 0 AND 6)
