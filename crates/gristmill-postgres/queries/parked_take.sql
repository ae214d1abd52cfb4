-- Index: the primary key.
DELETE FROM {s}.parked WHERE ctid = ANY (ARRAY(
  SELECT p.at FROM unnest($1::integer[], $2::integer[], $3::smallint[], $4::bigint[]) AS x(queue, kind, priority, seq)
  CROSS JOIN LATERAL (
    SELECT ctid AS at FROM {s}.parked p
    WHERE p.queue = x.queue AND p.kind = x.kind AND p.priority = x.priority AND p.seq = x.seq OFFSET 0 FOR UPDATE
  ) p))
RETURNING id, seq, attempt, claim_no, crashes
