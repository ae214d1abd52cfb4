-- Index: the primary key.
-- By place in the order of the ids, so that two calls wait for one another in one direction only. What becomes ready comes in the order as the
-- ids were given.
WITH asked AS MATERIALIZED (
  SELECT x.nth, b.at FROM (SELECT * FROM unnest($2::uuid[]) WITH ORDINALITY AS x(id, nth) ORDER BY id) x
  CROSS JOIN LATERAL (SELECT ctid AS at FROM {s}.blocked b WHERE b.id = x.id OFFSET 0) b
), gone AS (
  DELETE FROM {s}.blocked b USING asked a WHERE b.ctid = a.at AND flags & {unknown} = 0 RETURNING {columns}, run_at, nth
), {go}
SELECT id, place, queue, kind FROM placed
