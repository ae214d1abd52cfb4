-- Index: report_workflow; the primary keys of workflow and step.
-- How workflows stand that are locked, with what was told of their members since, which is theirs now. Apart from the lock: a statement that
-- waited for one would see steps as they were before.
WITH taken AS (
  DELETE FROM {s}.report WHERE workflow = ANY($1) RETURNING workflow, step, succeeded, failed, cancelled
), sums AS MATERIALIZED (
  SELECT workflow, step, sum(succeeded) AS succeeded, sum(failed) AS failed, sum(cancelled) AS cancelled FROM taken GROUP BY workflow, step
)
SELECT w.id, w.paused, w.cancelled, w.ended, s.number, s.again, s.state, s.closed, s.members, s.succeeded, s.failed, s.cancelled,
       s.chore, s.chore_from, s.first_id, s.last_id, t.succeeded, t.failed, t.cancelled, s.held_from
FROM {s}.workflow w
LEFT JOIN {s}.step s ON s.workflow = w.id
LEFT JOIN sums t ON t.workflow = s.workflow AND t.step = s.number
WHERE w.id = ANY($1)
