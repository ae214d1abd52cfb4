-- Index: the primary keys of outcome, task and memory. Of a retry and a deletion at once, one has the outcome and the other finds none. One
-- whose end somebody has still to deal with is left alone. That $1 is named each time leaves out the days of other ids. What a task had started
-- that did not succeed is for sweeps to see to, and to delete: claim_no 0 says so.
WITH over AS MATERIALIZED (
  SELECT id, ended FROM {s}.outcome WHERE id = ANY($1) AND ended <> 0 AND owed = 0 FOR UPDATE
), outcomes AS (
  DELETE FROM {s}.outcome WHERE id = ANY($1) AND id = ANY (ARRAY(SELECT id FROM over))
), tasks AS (
  DELETE FROM {s}.task WHERE id = ANY($1) AND id = ANY (ARRAY(SELECT id FROM over))
), memories AS (
  DELETE FROM {s}.memory WHERE task = ANY (ARRAY(SELECT id FROM over)) AND (NOT child OR task = ANY (ARRAY(SELECT id FROM over WHERE ended = 1)))
), started AS (
  UPDATE {s}.memory SET claim_no = 0 WHERE task = ANY (ARRAY(SELECT id FROM over WHERE ended <> 1)) AND child
)
SELECT id FROM over
