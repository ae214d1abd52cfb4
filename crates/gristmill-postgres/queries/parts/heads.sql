-- The first $2 rows of the queue $1 in its order, of each priority from its floor in $3 on. A part of a WITH.
heads AS MATERIALIZED (
  SELECT r.at, r.kind, r.seq, f.place - 1 AS priority
  FROM unnest($3::bigint[]) WITH ORDINALITY AS f(floor, place)
  CROSS JOIN LATERAL (
    SELECT ctid AS at, kind, seq FROM {s}.ready
    WHERE queue = $1 AND priority = (f.place - 1)::smallint AND seq >= f.floor ORDER BY seq LIMIT $2
  ) r
  LIMIT $2
)
