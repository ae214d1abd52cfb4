-- Index: task_member; until that is built, the primary key, for the ids between the first and the last of the step; the primary key of outcome.
-- How many members of the steps of a workflow have ended and are kept for more than another $8 ms.
SELECT x.step, count(*)
FROM unnest($3::integer[], $4::uuid[], $5::uuid[]) AS x(step, first, last)
CROSS JOIN LATERAL (
  SELECT id FROM {s}.task t
  WHERE t.workflow = $2 AND t.step = x.step AND t.id >= x.first AND t.id <= x.last AND t.id >= $6 AND t.id <= $7 OFFSET 0
) m
WHERE EXISTS (
  SELECT FROM {s}.outcome o
  WHERE o.id = m.id AND o.id >= $6 AND o.id <= $7 AND o.ended <> 0 AND o.owed = 0 AND (o.keep_until IS NULL OR o.keep_until > {now} + $8)
)
GROUP BY x.step
