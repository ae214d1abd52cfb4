-- Index: none.
-- What became of members, for their workflows: see additions/0011_workflows.sql.
WITH told AS (
  SELECT *, 1 AS n FROM unnest($1::uuid[], $2::integer[], $3::smallint[]) AS x(workflow, step, ended)
)
{report}
