-- Index: the primary keys of step, task, outcome and blocked.
-- Of workflows, by the witnesses of their steps: how many steps they have; whether a member is known that can still end; and the numbers of
-- the steps whose members are to be counted anew, as they do not wait, lack ends, and have no such member, with how many these are.
SELECT s.workflow, count(*), bool_or(c.can_end), coalesce(array_agg(s.number) FILTER (WHERE c.lacks AND NOT c.can_end), ARRAY[]::integer[]),
       coalesce(sum(s.members) FILTER (WHERE c.lacks AND NOT c.can_end), 0)
FROM {s}.step s CROSS JOIN LATERAL (
  SELECT s.state <> 0 AND s.succeeded + s.failed + s.cancelled < s.members AS lacks,
         s.witness IS NOT NULL
         AND coalesce((SELECT true FROM {s}.task t WHERE t.id = s.witness), false)
         AND coalesce((SELECT false FROM {s}.outcome o WHERE o.id = s.witness AND o.ended <> 0 LIMIT 1), true)
         AND coalesce((SELECT false FROM {s}.blocked b WHERE b.id = s.witness), true) AS can_end OFFSET 0
) c
WHERE s.workflow = ANY($1) GROUP BY s.workflow
