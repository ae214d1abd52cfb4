-- What steps have to learn of `gone` is written with it, a row for each of them. Further parts of a WITH.
, told AS (
  SELECT t.workflow, t.step, 1 AS ended, 1 AS n
  FROM gone g CROSS JOIN LATERAL (SELECT workflow, step FROM {s}.task t WHERE t.id = g.id OFFSET 0) t
), reported AS (
  {report}
)
