-- Index: the primary key of memory, from one task to the next.
-- The next tasks of which something is remembered, behind $1.
WITH RECURSIVE known AS (
  (SELECT task FROM {s}.memory WHERE task > $1 ORDER BY task LIMIT 1)
  UNION ALL
  SELECT n.task FROM known k CROSS JOIN LATERAL (SELECT task FROM {s}.memory WHERE task > k.task ORDER BY task LIMIT 1) n
)
SELECT task FROM known LIMIT $2
