-- Index: the primary keys of standby and waiting.
-- Tasks get slots and become ready: $1 in the order in which they are admitted, and for each slot its key, task and what it costs. Behind all that
-- are ready. The rows of waiting are locked.
WITH admitted AS (
  DELETE FROM {s}.standby WHERE task = ANY($1)
), gone AS (
  DELETE FROM {s}.waiting WHERE id = ANY($1) AND flags & {unknown} = 0 RETURNING {columns}
), turn AS MATERIALIZED (
  SELECT g.*, nextval('{l}.arrival') AS line
  FROM (SELECT * FROM gone g ORDER BY array_position($1, g.id)) g
), taken AS (
  INSERT INTO {s}.slot(key, task, seq, cost, until_ended)
  SELECT x.key, x.task, t.seq, x.cost, x.until_ended
  FROM unnest($2::text[], $3::uuid[], $4::integer[], $5::boolean[]) AS x(key, task, cost, until_ended) JOIN turn t ON t.id = x.task
  ON CONFLICT (key, task) DO NOTHING
), into_ready AS (
  INSERT INTO {s}.ready({columns})
  SELECT id, line, expires_at, queue, kind, attempt, claim_no, crashes, priority, flags | {moved} FROM turn
)
SELECT queue, kind, count(*) FROM turn GROUP BY queue, kind
