-- Index: standby_line, in its order; the primary key of waiting; slot_task.
-- The first of the lines of the keys $1, of each so many as $2 says: with what each says that it needs, and what it holds already. Null at the end
-- stands for one that somebody has in hand; of the others the rows of waiting are locked.
SELECT x.key, h.task, h.needs, h.holds, w.id
FROM unnest($1::text[], $2::bigint[]) WITH ORDINALITY AS x(key, most, nth)
CROSS JOIN LATERAL (
  SELECT b.task, b.late, b.seq, b.needs, CASE WHEN NOT b.late THEN ARRAY(SELECT s.key FROM {s}.slot s WHERE s.task = b.task) END AS holds
  FROM {s}.standby b WHERE b.key = x.key ORDER BY b.late, b.seq LIMIT x.most
) h
LEFT JOIN LATERAL (SELECT id FROM {s}.waiting w WHERE w.id = h.task OFFSET 0 FOR UPDATE SKIP LOCKED) w ON true
ORDER BY x.nth, h.late, h.seq
