-- Index: the unique index on id of worker, then lease_cancel.
SELECT l.id, l.fence, l.seq, l.retention, l.flags
FROM {s}.worker w CROSS JOIN LATERAL (
  SELECT id, fence, seq, retention, flags FROM {s}.lease WHERE worker = w.key AND cancel OFFSET 0
) l
WHERE w.id = $1
ORDER BY l.seq
