-- Index: tick_written, in its order.
DELETE FROM {s}.tick WHERE ctid = ANY (ARRAY(
  SELECT ctid FROM {s}.tick WHERE written_at <= {now} - $2 ORDER BY written_at LIMIT $3 FOR UPDATE SKIP LOCKED))
