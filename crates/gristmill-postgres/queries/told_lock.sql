-- Index: report_workflow, from one workflow to the next; the primary key of workflow.
-- Workflows that have yet to learn what became of their members, but for those of $1 and for those that somebody else has in hand: he looks
-- once more after his commit.
WITH RECURSIVE told AS (
  (SELECT workflow FROM {s}.report ORDER BY workflow LIMIT 1)
  UNION ALL
  SELECT n.workflow FROM told t CROSS JOIN LATERAL (
    SELECT workflow FROM {s}.report WHERE workflow > t.workflow ORDER BY workflow LIMIT 1
  ) n
)
SELECT w.id, w.seq
FROM (SELECT workflow FROM told WHERE workflow <> ALL($1) OFFSET 0) t
CROSS JOIN LATERAL (SELECT id, seq FROM {s}.workflow w WHERE w.id = t.workflow OFFSET 0 FOR UPDATE SKIP LOCKED) w
LIMIT $2
