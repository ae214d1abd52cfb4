-- Index: the primary key of ready: each queue and priority from one to the next, and of each the newest. Those that stand elsewhere in line
-- than at their arrival are in list_moved.
-- Each line is read equally deep, so that many of them cost no more than one. Of what is read: how many rows, below which place in the
-- order of arrival some of them were not read, and those that match.
WITH RECURSIVE line(queue, priority) AS (
  (SELECT queue, priority FROM {s}.ready WHERE queue >= $4 AND queue <= $5 ORDER BY queue, priority LIMIT 1)
  UNION ALL
  SELECT n.queue, n.priority FROM line l CROSS JOIN LATERAL (
    SELECT queue, priority FROM {s}.ready WHERE (queue, priority) > (l.queue, l.priority) AND queue <= $5
    ORDER BY queue, priority LIMIT 1
  ) n
), share AS MATERIALIZED (
  SELECT greatest($3 / greatest(count(*), 1), 8) AS most FROM line
), part AS MATERIALIZED (
  SELECT r.id, r.seq, $6::integer[] IS NULL OR r.kind = ANY($6) AS ok, min(r.seq) OVER w AS low, count(*) OVER w AS found
  FROM line l CROSS JOIN LATERAL (
    SELECT id, seq, kind FROM {s}.ready
    WHERE queue = l.queue AND priority = l.priority AND seq < $1 AND seq > $2 AND flags & {moved} = 0
    ORDER BY seq DESC LIMIT (SELECT most FROM share)
  ) r 
  WINDOW w AS (PARTITION BY l.queue, l.priority)
)
SELECT count(*), max(low) FILTER (WHERE found = (SELECT most FROM share)), array_agg(id) FILTER (WHERE ok),
       array_agg(seq) FILTER (WHERE ok)
FROM part
