-- Index: step_chore, from one workflow to the next; workflow_quiet, in its order.
-- What a sweep has to do for workflows: those of which something is still to be done to members, and those that have stood still for $2 ms.
WITH RECURSIVE chored AS (
  (SELECT workflow FROM {s}.step WHERE chore <> 0 ORDER BY workflow LIMIT 1)
  UNION ALL
  SELECT n.workflow FROM chored t CROSS JOIN LATERAL (
    SELECT workflow FROM {s}.step WHERE chore <> 0 AND workflow > t.workflow ORDER BY workflow LIMIT 1
  ) n
)
SELECT ARRAY(SELECT workflow FROM chored LIMIT $3),
       ARRAY(SELECT id FROM {s}.workflow WHERE ended = 0 AND quiet_since <= {now} - $2 ORDER BY quiet_since LIMIT $3)
