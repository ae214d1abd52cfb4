-- Index: the primary keys of standby and waiting.
-- Tasks ($1) get slots and become ready, in the order in which they came, behind all that are ready; of each slot its key, task, the task's seq, and what
-- it costs. The rows of waiting are locked, and moved by whoever knows their flags. Joined with nothing: sessions of ours join row by row.
WITH admitted AS (
  DELETE FROM {s}.standby WHERE task = ANY($1)
), gone AS (
  DELETE FROM {s}.waiting WHERE id = ANY($1) RETURNING {columns}
), turn AS MATERIALIZED (
  SELECT g.*, nextval('{l}.arrival') AS line FROM (SELECT * FROM gone ORDER BY seq) g
), taken AS (
  INSERT INTO {s}.slot(key, task, seq, cost, until_ended)
  SELECT x.key, x.task, x.seq, x.cost, x.until_ended FROM unnest($2::text[], $3::uuid[], $4::bigint[], $5::integer[], $6::boolean[]) AS x(key, task, seq, cost, until_ended)
  ON CONFLICT (key, task) DO NOTHING
), into_ready AS (
  INSERT INTO {s}.ready({columns})
  SELECT id, line, expires_at, queue, kind, attempt, claim_no, crashes, priority, flags | {moved} FROM turn
)
SELECT queue, kind, count(*) FROM turn GROUP BY queue, kind
