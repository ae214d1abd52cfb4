-- Index: the primary key.
-- In the order of the ids, so that two calls wait for one another in one direction only; what becomes ready, in the order as they were given.
WITH gone AS (
  DELETE FROM {s}.blocked b USING (SELECT * FROM unnest($2::uuid[]) WITH ORDINALITY AS x(asked, nth) ORDER BY asked) x
  WHERE b.id = x.asked AND flags & {unknown} = 0 RETURNING {columns}, run_at, nth
), {go}
SELECT id, place, queue, kind FROM placed
