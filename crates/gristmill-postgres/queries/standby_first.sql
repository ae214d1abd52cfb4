-- Index: standby_line, in its order; the primary key of waiting; slot_task.
-- The first of the lines of the keys $1, of each so many as $2 says: with what each says that it needs, and what it holds already. Their rows of
-- waiting are locked, but not for those who only look whether they are in somebody's hand (FOR KEY SHARE), as key_hold.sql does; those that somebody has in hand, or that are not for this program to move, are passed over, up to a bound.
SELECT x.key, h.task, h.needs, CASE WHEN NOT h.late THEN ARRAY(SELECT s.key FROM {s}.slot s WHERE s.task = h.task) END, h.seq, h.queue, h.priority, h.claim_no
FROM unnest($1::text[], $2::bigint[]) WITH ORDINALITY AS x(key, most, nth)
CROSS JOIN LATERAL (
  SELECT b.task, b.late, b.seq AS stands, b.needs, w.seq, w.queue, w.priority, w.claim_no
  FROM (SELECT * FROM {s}.standby s WHERE s.key = x.key ORDER BY s.late, s.seq LIMIT x.most + 500) b
  CROSS JOIN LATERAL (SELECT id, seq, queue, priority, claim_no FROM {s}.waiting w WHERE w.id = b.task AND w.flags & {unknown} = 0 OFFSET 0 FOR NO KEY UPDATE SKIP LOCKED) w
  LIMIT x.most
) h
ORDER BY x.nth, h.late, h.stands
