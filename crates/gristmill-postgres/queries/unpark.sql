-- Index: the primary key, in its order.
WITH first AS MATERIALIZED (
  SELECT ctid AS at FROM {s}.parked WHERE queue = $1 AND kind = $2 ORDER BY priority, seq LIMIT $3 FOR UPDATE SKIP LOCKED
), gone AS (
  DELETE FROM {s}.parked WHERE ctid = ANY (ARRAY(SELECT at FROM first))
  RETURNING id, seq, expires_at, queue, kind, attempt, claim_no, crashes, priority
)
INSERT INTO {s}.ready(id, seq, expires_at, queue, kind, attempt, claim_no, crashes, priority) SELECT * FROM gone
