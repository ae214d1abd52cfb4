-- Index: workflow_keep, in its order; the primary keys of workflow and step.
-- Workflows that are kept no longer, but for those to whose members something is still to be done.
WITH over AS MATERIALIZED (
  SELECT id FROM {s}.workflow w
  WHERE keep_until IS NOT NULL AND keep_until <= {now} AND NOT EXISTS (SELECT FROM {s}.step s WHERE s.workflow = w.id AND s.chore <> 0)
  ORDER BY keep_until LIMIT $2 FOR UPDATE SKIP LOCKED
), steps AS (
  DELETE FROM {s}.step WHERE workflow = ANY (ARRAY(SELECT id FROM over))
)
DELETE FROM {s}.workflow WHERE id = ANY (ARRAY(SELECT id FROM over))
