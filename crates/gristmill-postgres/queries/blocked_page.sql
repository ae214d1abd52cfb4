-- Index: blocked_seq, in its order.
SELECT id, seq, queue, kind FROM {s}.blocked WHERE seq < $1 ORDER BY seq DESC LIMIT $2
