-- Index: outcome_owed; the primary keys of outcome and task.
-- Ends of members that a program wrote which does not know what a member is: their workflows are told now, and once.
WITH owed AS MATERIALIZED (
  SELECT id, claim_no FROM {s}.outcome WHERE owed <> 0 AND owed & {member} <> 0 AND id >= $1 AND id <= $2 LIMIT $3 FOR UPDATE SKIP LOCKED
), cleared AS (
  UPDATE {s}.outcome o SET owed = o.owed & ~{member} FROM owed w
  WHERE o.id = w.id AND o.claim_no = w.claim_no AND o.id >= $1 AND o.id <= $2 RETURNING o.id, o.ended
), told AS (
  SELECT t.workflow, t.step, c.ended, 1 AS n FROM cleared c JOIN {s}.task t ON t.id = c.id AND t.id >= $1 AND t.id <= $2
), reported AS (
  {report}
)
SELECT count(*) FROM cleared
