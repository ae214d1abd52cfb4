-- Index: scheduled_expiry, in its order.
WITH late AS MATERIALIZED (
  SELECT ctid AS at FROM {s}.scheduled WHERE expires_at IS NOT NULL AND expires_at <= {now}
  ORDER BY expires_at LIMIT $2 FOR UPDATE SKIP LOCKED
)
DELETE FROM {s}.scheduled WHERE ctid = ANY (ARRAY(SELECT at FROM late))
RETURNING id, attempt, claim_no, crashes, flags
