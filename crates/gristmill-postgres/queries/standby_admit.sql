-- Index: the primary keys of standby and waiting.
-- Tasks ($1) get slots and become ready, in the order in which they came, behind all that are ready, or by their turns ($7); of each slot its key, task, the
-- task's seq, and what it costs. The rows of waiting are locked, and moved by whoever knows their flags. Each is looked for by its id: sessions of ours join
-- row by row.
WITH admitted AS (
  DELETE FROM {s}.standby WHERE task = ANY($1)
), gone AS (
  DELETE FROM {s}.waiting w USING unnest($1::uuid[], $7::bigint[]) AS x(id, turn) WHERE w.id = x.id RETURNING w.id, w.seq, w.expires_at, w.queue, w.kind, w.attempt, w.claim_no, w.crashes, w.priority, w.flags, x.turn
), in_order AS MATERIALIZED (
  SELECT g.*, nextval('{l}.arrival') AS line FROM (SELECT * FROM gone ORDER BY seq) g
), taken AS (
  INSERT INTO {s}.slot(key, task, seq, cost, until_ended)
  SELECT x.key, x.task, x.seq, x.cost, x.until_ended FROM unnest($2::text[], $3::uuid[], $4::bigint[], $5::integer[], $6::boolean[]) AS x(key, task, seq, cost, until_ended)
  ON CONFLICT (key, task) DO NOTHING
), into_ready AS (
  INSERT INTO {s}.ready({columns})
  SELECT id, CASE WHEN turn IS NULL THEN line ELSE (turn << $8) | (line & ((1::bigint << $8) - 1)) END,
         expires_at, queue, kind, attempt, claim_no, crashes, priority, flags | {moved} FROM in_order
)
SELECT queue, kind, count(*) FROM in_order GROUP BY queue, kind
