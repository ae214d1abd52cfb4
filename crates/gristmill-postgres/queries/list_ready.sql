-- Index: the primary key of ready: each queue and priority from one to the next, and of each the newest. Those that stand elsewhere in line
-- than at their arrival are in list_moved.
-- Of what is read: how many rows, the lowest place in the order of arrival, and those that match.
WITH RECURSIVE line(queue, priority) AS (
  (SELECT queue, priority FROM {s}.ready WHERE queue >= $4 AND queue <= $5 ORDER BY queue, priority LIMIT 1)
  UNION ALL
  SELECT n.queue, n.priority FROM line l CROSS JOIN LATERAL (
    SELECT queue, priority FROM {s}.ready WHERE (queue, priority) > (l.queue, l.priority) AND queue <= $5
    ORDER BY queue, priority LIMIT 1
  ) n
)
SELECT count(*), min(seq), array_agg(id) FILTER (WHERE ok), array_agg(seq) FILTER (WHERE ok) FROM (
  SELECT r.id, r.seq, $6::integer[] IS NULL OR r.kind = ANY($6) AS ok FROM line l CROSS JOIN LATERAL (
    SELECT id, seq, kind FROM {s}.ready
    WHERE queue = l.queue AND priority = l.priority AND seq < $1 AND seq > $2 AND flags & {moved} = 0
    ORDER BY seq DESC LIMIT $3
  ) r ORDER BY r.seq DESC LIMIT $3
) x
