-- Index: the primary keys of report and workflow. Reports are few, and go at once.
-- What was told of members whose workflow is kept no longer.
WITH gone AS (
  DELETE FROM {s}.report WHERE id = ANY (ARRAY(
    SELECT r.id FROM {s}.report r WHERE NOT EXISTS (SELECT FROM {s}.workflow w WHERE w.id = r.workflow) LIMIT $1 FOR UPDATE SKIP LOCKED
  )) RETURNING workflow, step
)
SELECT DISTINCT workflow, step FROM gone
