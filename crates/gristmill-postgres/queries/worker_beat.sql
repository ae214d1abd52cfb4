-- Index: the unique index on id of worker, then lease_cancel. However late: as long as nobody took it for dead, nobody took its tasks.
WITH beat AS (
  UPDATE {s}.worker SET expires_at = {now} + $3, lease = $3 WHERE id = $2 AND NOT lost RETURNING key
)
SELECT l.id, l.fence, l.seq, l.retention
FROM beat LEFT JOIN LATERAL (
  SELECT id, fence, seq, retention FROM {s}.lease WHERE worker = beat.key AND cancel OFFSET 0
) l ON true
ORDER BY l.seq
