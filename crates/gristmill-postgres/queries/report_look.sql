-- Index: report_workflow, from one workflow to the next; the primary key of workflow.
-- Workflows that have yet to learn what became of their members, but for those of $1.
WITH RECURSIVE told AS (
  (SELECT workflow FROM {s}.report ORDER BY workflow LIMIT 1)
  UNION ALL
  SELECT n.workflow FROM told t CROSS JOIN LATERAL (
    SELECT workflow FROM {s}.report WHERE workflow > t.workflow ORDER BY workflow LIMIT 1
  ) n
)
SELECT t.workflow FROM told t
WHERE t.workflow <> ALL($1) AND EXISTS (SELECT FROM {s}.workflow w WHERE w.id = t.workflow) LIMIT $2
