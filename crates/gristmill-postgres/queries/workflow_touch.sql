-- Index: the primary keys of workflow and step.
-- They were looked at, and these members of their steps can still end.
WITH seen AS (
  UPDATE {s}.step s SET witness = x.witness
  FROM unnest($3::uuid[], $4::integer[], $5::uuid[]) AS x(workflow, number, witness) WHERE s.workflow = x.workflow AND s.number = x.number
)
UPDATE {s}.workflow SET quiet_since = {now} WHERE id = ANY($2)
