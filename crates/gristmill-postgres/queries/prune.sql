-- Index: outcome_keep, in its order; the primary keys of task and outcome.
WITH over AS MATERIALIZED (
  SELECT id FROM {s}.outcome WHERE keep_until IS NOT NULL AND keep_until <= {now}
  ORDER BY keep_until LIMIT $2 FOR UPDATE SKIP LOCKED
), outcomes AS (
  DELETE FROM {s}.outcome WHERE id = ANY (ARRAY(SELECT id FROM over))
), tasks AS (
  DELETE FROM {s}.task WHERE id = ANY (ARRAY(SELECT id FROM over))
)
SELECT count(*) FROM over
