-- The rows that a claim takes from a queue, in its order, locked. Parts of a WITH.
alive AS MATERIALIZED (
  SELECT q.paused FROM {s}.worker w CROSS JOIN {s}.queue q
  WHERE w.key = $2 AND w.epoch = $3 AND w.expires_at > {now} AND q.id = $4
), head AS MATERIALIZED (
  SELECT r.at, r.id
  FROM alive a CROSS JOIN unnest($6::bigint[]) WITH ORDINALITY AS f(floor, place)
  CROSS JOIN LATERAL (
    SELECT ctid AS at, id FROM {s}.ready
    WHERE queue = $4 AND priority = (f.place - 1)::smallint AND seq >= f.floor AND kind = ANY($5) AND flags & {unknown} = 0
    ORDER BY seq LIMIT $7 FOR UPDATE SKIP LOCKED
  ) r
  WHERE NOT a.paused
  LIMIT $7
)
