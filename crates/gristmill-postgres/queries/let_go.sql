-- Index: task_member; the primary key of blocked.
-- Lets members of steps go that are blocked: how many to which place and line. Those that somebody else has in hand stay, and it says to which
-- parts of what was asked they belong.
WITH member AS MATERIALIZED (
  {members}
), free AS MATERIALIZED (
  SELECT row_number() OVER () AS nth, m.id AS free, b.at FROM (SELECT * FROM member ORDER BY nth, place) m
  CROSS JOIN LATERAL (SELECT ctid AS at FROM {s}.blocked b WHERE b.id = m.id OFFSET 0 FOR UPDATE SKIP LOCKED) b
), gone AS (
  DELETE FROM {s}.blocked b USING free f WHERE b.ctid = f.at AND flags & {unknown} = 0 RETURNING {columns}, run_at, nth
), {go}
SELECT NULL::bigint, place, queue, kind, count(*) FROM placed GROUP BY place, queue, kind
UNION ALL
SELECT DISTINCT m.nth, NULL::smallint, NULL::integer, NULL::integer, NULL::bigint
FROM (SELECT * FROM member WHERE id NOT IN (SELECT free FROM free)) m
CROSS JOIN LATERAL (SELECT FROM {s}.blocked b WHERE b.id = m.id OFFSET 0) b
