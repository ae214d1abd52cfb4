-- Index: task_member; the primary key of outcome.
-- In words that no index of keep_until knows, as in unkeep.sql. Members of a step that are kept for their workflow, and not as they were to be kept for ever themselves: these would be found each time.
SELECT t.id FROM {s}.task t
WHERE t.workflow = $1 AND t.step = $2 AND t.retention <> -1 AND EXISTS (
  SELECT FROM {s}.outcome o WHERE o.id = t.id AND o.ended <> 0 AND o.owed = 0 AND o.keep_until IS NOT DISTINCT FROM 9223372036854775807
) LIMIT $3
