-- Index: step_chore, from one workflow to the next; workflow_quiet and workflow_deadline, in their order. Reports are few.
-- What a sweep has to do for workflows: those of which something is still to be done to members, from $4 on and then from the first again, so
-- that none stands in the way of others; those that have stood still for $2 ms, also by a clock that was ahead of now; whether something was told of members whose workflow is
-- gone; those whose deadline has passed, and how long it is until the next one does.
WITH RECURSIVE behind AS (
  (SELECT workflow FROM {s}.step WHERE chore <> 0 AND workflow > $4 ORDER BY workflow LIMIT 1)
  UNION ALL
  SELECT n.workflow FROM behind t CROSS JOIN LATERAL (
    SELECT workflow FROM {s}.step WHERE chore <> 0 AND workflow > t.workflow ORDER BY workflow LIMIT 1
  ) n
), before AS (
  (SELECT workflow FROM {s}.step WHERE chore <> 0 AND workflow <= $4 ORDER BY workflow LIMIT 1)
  UNION ALL
  SELECT n.workflow FROM before t CROSS JOIN LATERAL (
    SELECT workflow FROM {s}.step WHERE chore <> 0 AND workflow > t.workflow AND workflow <= $4 ORDER BY workflow LIMIT 1
  ) n
)
SELECT ARRAY((SELECT workflow FROM behind LIMIT $3) UNION ALL (SELECT workflow FROM before LIMIT $3) LIMIT $3),
       ARRAY((SELECT id FROM {s}.workflow WHERE ended = 0 AND quiet_since > {now} + $2 ORDER BY quiet_since LIMIT $5)
             UNION ALL (SELECT id FROM {s}.workflow WHERE ended = 0 AND quiet_since <= {now} - $2 ORDER BY quiet_since LIMIT $5) LIMIT $5),
       EXISTS (SELECT FROM {s}.report r WHERE NOT EXISTS (SELECT FROM {s}.workflow w WHERE w.id = r.workflow)),
       ARRAY(SELECT id FROM {s}.workflow WHERE deadline_at IS NOT NULL AND ended = 0 AND NOT cancelled AND deadline_at <= {now}
             ORDER BY deadline_at LIMIT $3),
       (SELECT min(deadline_at) FROM {s}.workflow WHERE deadline_at IS NOT NULL AND ended = 0 AND NOT cancelled AND deadline_at > {now}) - {now}
