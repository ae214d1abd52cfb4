-- Index: report_workflow.
-- What was told of the members of workflows that are locked, which is theirs now, in a row a step.
WITH taken AS (
  DELETE FROM {s}.report WHERE workflow = ANY($1) RETURNING workflow, step, succeeded, failed, cancelled
)
SELECT workflow, step, sum(succeeded), sum(failed), sum(cancelled) FROM taken GROUP BY workflow, step
