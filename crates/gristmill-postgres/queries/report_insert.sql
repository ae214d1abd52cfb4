-- Index: none.
-- What became of members, for their workflows: see additions/0011_workflows.sql.
WITH told AS (
  SELECT * FROM unnest($1::uuid[], $2::integer[], $3::smallint[], $4::integer[]) AS x(workflow, step, ended, n)
)
{report}
