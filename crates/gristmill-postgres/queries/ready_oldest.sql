-- Index: the primary key, one step a priority.
SELECT min(f.seq) FROM generate_series(0, 9) AS p(n) CROSS JOIN LATERAL (
  SELECT seq FROM {s}.ready WHERE queue = $1 AND priority = p.n::smallint ORDER BY seq LIMIT 1
) f
