-- Index: the primary keys of slot and lease; ready_flagged and parked_flagged. Reads all that is taken of the keys.
-- Who is to make room in the keys $1, of which so many slots as $2 says are lacking: those that came first, but for what those have that were asked before.
-- They are locked; of one that somebody has in hand it is said that it is not.
WITH chosen AS MATERIALIZED (
  SELECT x.key, h.task
  FROM unnest($1::text[], $2::bigint[]) AS x(key, lacking)
  CROSS JOIN LATERAL (
    SELECT s.task, a.is_asked, coalesce(sum(s.cost) FILTER (WHERE a.is_asked) OVER (), 0)
             + coalesce(sum(s.cost) FILTER (WHERE NOT a.is_asked) OVER (ORDER BY s.seq, s.task ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), 0) AS coming,
           sum(s.cost) OVER () AS all_of_it
    FROM {s}.slot s CROSS JOIN LATERAL (SELECT coalesce((SELECT l.cancel FROM {s}.lease l WHERE l.id = s.task), false) AS is_asked) a
    -- Only those that said so themselves: whoever may only enqueue ends nobody else's work.
    WHERE s.key = x.key AND NOT s.until_ended AND EXISTS (
      SELECT FROM {s}.task t CROSS JOIN LATERAL jsonb_array_elements(CASE WHEN strpos(t.meta, '"cancel_running"') > 0 THEN {s}.needs_said(t.meta) END) AS n
      WHERE t.id = s.task AND n ->> 'key' = x.key AND n ->> 'on_excess' = 'cancel_running')
  ) h
  -- Nor is anybody asked if all of them were not enough.
  WHERE NOT h.is_asked AND h.coming < x.lacking AND h.all_of_it >= x.lacking
), locked AS MATERIALIZED (
  SELECT c.task FROM chosen c CROSS JOIN LATERAL (SELECT FROM {s}.lease l WHERE l.id = c.task OFFSET 0 FOR UPDATE SKIP LOCKED) l
), locked_ready AS MATERIALIZED (
  SELECT c.task FROM chosen c CROSS JOIN LATERAL (SELECT FROM {s}.ready r WHERE r.id = c.task AND r.flags <> 0 OFFSET 0 FOR UPDATE SKIP LOCKED) r
), locked_parked AS MATERIALIZED (
  SELECT c.task FROM chosen c CROSS JOIN LATERAL (SELECT FROM {s}.parked p WHERE p.id = c.task AND p.flags <> 0 OFFSET 0 FOR UPDATE SKIP LOCKED) p
)
SELECT c.key, c.task, c.task IN (SELECT task FROM locked UNION ALL SELECT task FROM locked_ready UNION ALL SELECT task FROM locked_parked) FROM chosen c
