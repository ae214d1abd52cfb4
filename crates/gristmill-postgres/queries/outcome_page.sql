-- Index: outcome_bad, in its order; the literal lets the partial index match. Then the primary key of task.
SELECT o.id, o.seq, t.queue, t.kind
FROM (SELECT id, seq FROM {s}.outcome WHERE ended > 1 AND ended = $3 AND seq < $1 ORDER BY seq DESC LIMIT $2) o
CROSS JOIN LATERAL (SELECT queue, kind FROM {s}.task t WHERE t.id = o.id OFFSET 0) t
