-- Index: lock_taken, in its order; the primary key of lease.
-- Those that nobody holds any more. One that was taken meanwhile is passed over, as its time is another then.
DELETE FROM {s}.lock WHERE ctid = ANY (ARRAY(
  SELECT ctid FROM {s}.lock k WHERE taken_at <= {now} - $2
    AND NOT EXISTS (SELECT FROM {s}.lease l WHERE l.id = k.task AND l.fence = k.fence OFFSET 0)
  ORDER BY taken_at LIMIT $3 FOR UPDATE SKIP LOCKED))
