-- Index: step_chore, from one workflow to the next; workflow_quiet, in its order. Reports are few.
-- What a sweep has to do for workflows: those of which something is still to be done to members, and those that have stood still for $2 ms;
-- and whether something was told of members whose workflow is gone.
WITH RECURSIVE chored AS (
  (SELECT workflow FROM {s}.step WHERE chore <> 0 ORDER BY workflow LIMIT 1)
  UNION ALL
  SELECT n.workflow FROM chored t CROSS JOIN LATERAL (
    SELECT workflow FROM {s}.step WHERE chore <> 0 AND workflow > t.workflow ORDER BY workflow LIMIT 1
  ) n
)
SELECT ARRAY(SELECT workflow FROM chored LIMIT $3),
       ARRAY(SELECT id FROM {s}.workflow WHERE ended = 0 AND quiet_since <= {now} - $2 ORDER BY quiet_since LIMIT $3),
       EXISTS (SELECT FROM {s}.report r WHERE NOT EXISTS (SELECT FROM {s}.workflow w WHERE w.id = r.workflow))
