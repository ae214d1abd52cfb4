-- Index: task_member; the primary keys of outcome and blocked.
-- Counts the members of steps anew, from their rows, instead of what was told and not yet counted. An end that a program has left owed is none
-- yet: it is told apart. The last column names one that can still end.
WITH x AS MATERIALIZED (
  SELECT * FROM unnest($1::uuid[], $2::integer[], $3::uuid[], $4::uuid[]) WITH ORDINALITY AS x(workflow, step, first, last, nth)
), taken AS (
  DELETE FROM {s}.report r USING x WHERE r.workflow = x.workflow AND r.step = x.step
)
SELECT x.nth, count(*) FILTER (WHERE e.ended = 1), count(*) FILTER (WHERE e.ended = 2), count(*) FILTER (WHERE e.ended > 2),
       count(*) FILTER (WHERE e.ended IS NULL), count(*) FILTER (WHERE e.ended IS NULL AND e.blocked),
       (array_agg(m.id) FILTER (WHERE e.ended IS NULL AND NOT e.blocked))[1]
FROM x CROSS JOIN LATERAL (
  SELECT id FROM {s}.task t
  WHERE t.workflow = x.workflow AND t.step = x.step AND t.id >= x.first AND t.id <= x.last AND t.id >= $5 AND t.id <= $6 OFFSET 0
) m CROSS JOIN LATERAL (
  SELECT (SELECT o.ended FROM {s}.outcome o
          WHERE o.id = m.id AND o.id >= $5 AND o.id <= $6 AND o.ended <> 0 AND o.owed & {member} = 0 LIMIT 1) AS ended,
         EXISTS (SELECT FROM {s}.blocked b WHERE b.id = m.id) AS blocked OFFSET 0
) e
GROUP BY x.nth
