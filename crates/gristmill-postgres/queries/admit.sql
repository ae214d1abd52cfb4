-- Index: the primary key.
-- Behind all that are ready, in the order of the ids as they were given.
WITH gone AS (
  DELETE FROM {s}.waiting WHERE id = ANY($1) AND flags & {unknown} = 0 RETURNING {columns}
), turn AS MATERIALIZED (
  SELECT g.*, nextval('{l}.arrival') AS line
  FROM (SELECT * FROM gone g ORDER BY array_position($1, g.id)) g
), into_ready AS (
  INSERT INTO {s}.ready({columns})
  SELECT id, line, expires_at, queue, kind, attempt, claim_no, crashes, priority, flags | {moved} FROM turn
)
SELECT id FROM turn
