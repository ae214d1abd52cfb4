-- Tasks that left `blocked` go where they belong: the rows of `gone`, in the order of their `nth`. What becomes ready stands behind all that
-- are. Parts of a WITH. Each row takes its columns along: a join, for which no statistics tell how many there are, would look through all of
-- them for each.
turn AS MATERIALIZED (
  SELECT g.*, nextval('{l}.arrival') AS line FROM (SELECT * FROM gone ORDER BY nth) g
), going AS (
  SELECT t.*, {placed} AS place FROM (SELECT *, false AS blocked, {now} AS now FROM turn) t
), placed AS (
  SELECT place, id, CASE WHEN place = {ready} THEN line ELSE seq END AS seq, expires_at, queue, kind, attempt, claim_no, crashes, priority,
         CASE WHEN place = {ready} THEN flags | {moved} ELSE flags END AS flags, run_at
  FROM going
), {enter}
