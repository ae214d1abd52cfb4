-- Index: the primary key.
-- What becomes ready stands behind all that are, in the order of the ids as they were given.
WITH gone AS (
  DELETE FROM {s}.blocked WHERE id = ANY($2) AND flags & {unknown} = 0 RETURNING {columns}, run_at
), turn AS MATERIALIZED (
  SELECT g.id, nextval('{l}.arrival') AS line
  FROM (SELECT g.id FROM gone g ORDER BY array_position($2, g.id)) g
), going AS (
  SELECT g.*, {placed} AS place FROM (SELECT *, false AS blocked, {now} AS now FROM gone) g
), placed AS (
  SELECT g.place, g.id, CASE WHEN g.place = {ready} THEN t.line ELSE g.seq END AS seq, g.expires_at, g.queue, g.kind, g.attempt,
         g.claim_no, g.crashes, g.priority, CASE WHEN g.place = {ready} THEN g.flags | {moved} ELSE g.flags END AS flags, g.run_at
  FROM going g JOIN turn t ON t.id = g.id
), {enter}
SELECT id, place, queue, kind FROM placed
