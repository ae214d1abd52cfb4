-- Index: the primary key of parked: each queue, type and priority from one to the next, and of each the newest. Those that stand elsewhere in line
-- than at their arrival are in list_moved.
-- Of what is read: how many rows, the lowest place in the order of arrival, and those that match.
WITH RECURSIVE line(queue, kind, priority) AS (
  (SELECT queue, kind, priority FROM {s}.parked WHERE queue >= $4 AND queue <= $5 ORDER BY queue, kind, priority LIMIT 1)
  UNION ALL
  SELECT n.queue, n.kind, n.priority FROM line l CROSS JOIN LATERAL (
    SELECT queue, kind, priority FROM {s}.parked
    WHERE (queue, kind, priority) > (l.queue, l.kind, l.priority) AND queue <= $5 ORDER BY queue, kind, priority LIMIT 1
  ) n
)
SELECT count(*), min(seq), array_agg(id), array_agg(seq) FROM (
  SELECT r.id, r.seq FROM line l CROSS JOIN LATERAL (
    SELECT id, seq FROM {s}.parked
    WHERE queue = l.queue AND kind = l.kind AND priority = l.priority AND seq < $1 AND seq > $2 AND flags & {moved} = 0
    ORDER BY seq DESC LIMIT $3
  ) r WHERE $6::integer[] IS NULL OR l.kind = ANY($6) ORDER BY r.seq DESC LIMIT $3
) x
