-- Index: the primary keys of outcome and of task. One row at most ends a task, and only one of two retries gets it.
WITH again AS (
  UPDATE {s}.outcome SET ended = 0, keep_until = NULL WHERE id = ANY($1) AND ended <> 0 RETURNING id, claim_no
), ready AS (
  INSERT INTO {s}.ready(id, seq, queue, kind, attempt, claim_no, crashes, priority)
  SELECT a.id, t.seq, t.queue, t.kind, 0, a.claim_no, 0, t.priority
  FROM again a CROSS JOIN LATERAL (SELECT * FROM {s}.task t WHERE t.id = a.id OFFSET 0) t
)
SELECT id FROM again
