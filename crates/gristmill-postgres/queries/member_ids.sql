-- Index: task_member; until that is built, the primary key, for the ids between the first and the last of the step.
-- The members at some places of some steps. That $7 and $8 name the least and the greatest of all leaves out the days of other ids.
SELECT x.nth, t.place, t.id
FROM unnest($1::uuid[], $2::integer[], $3::integer[], $4::integer[], $5::uuid[], $6::uuid[]) WITH ORDINALITY
  AS x(workflow, step, low, high, first, last, nth)
CROSS JOIN LATERAL (
  SELECT place, id FROM {s}.task t
  WHERE t.workflow = x.workflow AND t.step = x.step AND t.place >= x.low AND t.place < x.high AND t.id >= x.first AND t.id <= x.last
    AND t.id >= $7 AND t.id <= $8 OFFSET 0
) t
