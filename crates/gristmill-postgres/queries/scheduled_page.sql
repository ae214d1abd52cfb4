-- Index: the primary key, in its order.
SELECT id, seq, queue, kind FROM {s}.scheduled WHERE seq < $1 ORDER BY seq DESC LIMIT $2
