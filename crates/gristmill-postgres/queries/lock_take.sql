-- Index: the primary keys of lock and lease; lock_task.
-- Gives a lock to an attempt, or says who has it. A lease that is gone never comes back, so that of a lock which was seen to be free it need only
-- be known that nobody has taken it since: its row, as it is by then, has the token that was seen, or there is none. Nothing is locked
-- but that row, and this only by whoever saw it free. A row that is not there is inserted with a token that was drawn before; it would be smaller than
-- another's only if that one were taken, released and deleted meanwhile, and rows are kept for an hour.
WITH mine AS MATERIALIZED (
  SELECT (SELECT count(*) FROM {s}.lock k WHERE k.task = $3 AND k.fence = $4) AS held FROM {s}.lease WHERE id = $3 AND fence = $4
), there AS MATERIALIZED (
  SELECT k.token, k.taken_at, k.task, k.fence,
         EXISTS (SELECT FROM {s}.lease l WHERE l.id = k.task AND l.fence = k.fence OFFSET 0) AS held
  FROM {s}.lock k WHERE k.name = $2
), taken AS (
  INSERT INTO {s}.lock AS k(token, taken_at, task, fence, name)
  SELECT nextval('{l}.lock_token'), {now}, $3, $4, $2 FROM mine WHERE held < $5 AND NOT EXISTS (SELECT FROM there WHERE held)
  ON CONFLICT (name) DO UPDATE
  SET token = nextval('{l}.lock_token'), taken_at = excluded.taken_at, task = excluded.task, fence = excluded.fence
  WHERE k.token = (SELECT token FROM there)
  RETURNING token, taken_at
)
SELECT mine.held, taken.token, taken.taken_at, there.token, there.taken_at, there.task, there.fence = $4 AND there.task = $3
FROM (VALUES (1)) AS one(row)
LEFT JOIN mine ON true LEFT JOIN taken ON true LEFT JOIN there ON there.held
