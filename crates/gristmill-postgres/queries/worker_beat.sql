-- Index: the unique index on id of worker, then lease_cancel.
WITH beat AS (
  UPDATE {s}.worker SET expires_at = {now} + $3 WHERE id = $2 AND expires_at > {now} RETURNING key
)
SELECT l.id, l.fence, l.seq, l.retention
FROM beat LEFT JOIN LATERAL (
  SELECT id, fence, seq, retention FROM {s}.lease WHERE worker = beat.key AND cancel OFFSET 0
) l ON true
ORDER BY l.seq
