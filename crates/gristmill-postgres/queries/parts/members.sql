-- The members at some places of some steps: of each part of what is asked for, which begins with $2. That $8 and $9 name the least and the
-- greatest of all ids leaves out the days of others. By task_member; until that is built, by the primary key.
SELECT x.nth, t.place, t.id
FROM unnest($2::uuid[], $3::integer[], $4::integer[], $5::integer[], $6::uuid[], $7::uuid[]) WITH ORDINALITY
  AS x(workflow, step, low, high, first, last, nth)
CROSS JOIN LATERAL (
  SELECT place, id FROM {s}.task t
  WHERE t.workflow = x.workflow AND t.step = x.step AND t.place >= x.low AND t.place < x.high AND t.id >= x.first AND t.id <= x.last
    AND t.id >= $8 AND t.id <= $9 OFFSET 0
) t
