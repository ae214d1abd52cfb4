-- Index: the primary key.
DELETE FROM {s}.ready WHERE ctid = ANY (ARRAY(
  SELECT r.at FROM unnest($1::integer[], $2::smallint[], $3::bigint[]) AS x(queue, priority, seq)
  CROSS JOIN LATERAL (
    SELECT ctid AS at FROM {s}.ready r WHERE r.queue = x.queue AND r.priority = x.priority AND r.seq = x.seq OFFSET 0 FOR UPDATE
  ) r))
RETURNING id, seq, attempt, claim_no, crashes
