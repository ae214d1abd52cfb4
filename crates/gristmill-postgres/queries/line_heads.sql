-- Index: the primary key of ready, one range for each priority.
-- The first $3 of each of the lines $2 of a queue, in their order.
SELECT r.id, r.seq, p.priority
FROM unnest($2::smallint[]) AS p(priority) CROSS JOIN LATERAL (
  SELECT id, seq FROM {s}.ready WHERE queue = $1 AND priority = p.priority AND flags & {unknown} = 0 ORDER BY seq LIMIT $3
) r
