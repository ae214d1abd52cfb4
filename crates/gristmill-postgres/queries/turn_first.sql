-- Index: the primary keys of ready, key and queue.
-- Of the lines of the queues $1 and the priorities $2: the place of the first who stands there by his turn, from $3 on, below which nobody does any more; and the highest turn that was ever given
-- there, which is kept by the keys $4; and the name of the queue.
SELECT (SELECT seq FROM {s}.ready r WHERE r.queue = x.queue AND r.priority = x.priority AND r.seq >= x.least ORDER BY r.seq LIMIT 1),
       (SELECT turn FROM {s}.key k WHERE k.key = x.key), (SELECT name FROM {s}.queue q WHERE q.id = x.queue)
FROM unnest($1::integer[], $2::smallint[], $3::bigint[], $4::text[]) WITH ORDINALITY AS x(queue, priority, least, key, nth) ORDER BY x.nth
