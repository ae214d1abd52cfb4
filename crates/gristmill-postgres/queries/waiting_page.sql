-- Index: waiting_seq, in its order.
SELECT id, seq, queue, kind FROM {s}.waiting WHERE seq < $1 ORDER BY seq DESC LIMIT $2
