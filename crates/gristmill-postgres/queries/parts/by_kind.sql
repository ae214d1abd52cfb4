-- The same for a queue that is full of what other services have to do: of each priority the first of each type, in the order in which
-- they came. What somebody else takes at this moment is not replaced by what comes after it: `line` has more rows than `head` then.
alive AS MATERIALIZED (
  SELECT q.paused FROM {s}.worker w CROSS JOIN {s}.queue q
  WHERE w.key = $2 AND w.epoch = $3 AND w.expires_at > {now} AND q.id = $4
), line AS MATERIALIZED (
  SELECT c.at
  FROM alive a CROSS JOIN unnest($6::bigint[]) WITH ORDINALITY AS f(floor, place)
  CROSS JOIN LATERAL (
    SELECT first.at FROM unnest($5) AS k(kind) CROSS JOIN LATERAL (
      SELECT ctid AS at, seq FROM {s}.ready
      WHERE queue = $4 AND kind = k.kind AND priority::integer = (f.place - 1)::integer AND seq >= f.floor AND flags & {unknown} = 0
      ORDER BY seq LIMIT $7
    ) first ORDER BY first.seq LIMIT $7
  ) c
  WHERE NOT a.paused
  LIMIT $7
), head AS MATERIALIZED (
  SELECT r.at, r.id FROM line l CROSS JOIN LATERAL (SELECT ctid AS at, id FROM {s}.ready WHERE ctid = l.at FOR UPDATE SKIP LOCKED) r
)
