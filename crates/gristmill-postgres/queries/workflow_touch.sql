-- Index: the primary keys of workflow and step.
-- They were looked at, and these members of their steps can still end. Steps as in flow_write.sql.
WITH seen AS (
  INSERT INTO {s}.step(workflow, number, witness, state, members, closed, spec)
  SELECT x.*, 0, 0, true, '' FROM unnest($3::uuid[], $4::integer[], $5::uuid[]) AS x
  ON CONFLICT (workflow, number) DO UPDATE SET witness = excluded.witness
)
UPDATE {s}.workflow SET quiet_since = {now} WHERE id = ANY($2)
