-- Index: scheduled_due, in its order.
WITH due AS MATERIALIZED (
  SELECT ctid AS at FROM {s}.scheduled WHERE run_at <= {now} ORDER BY run_at, seq LIMIT $2 FOR UPDATE SKIP LOCKED
), gone AS (
  DELETE FROM {s}.scheduled WHERE ctid = ANY (ARRAY(SELECT at FROM due))
  RETURNING id, seq, expires_at, queue, kind, attempt, claim_no, crashes, priority
)
INSERT INTO {s}.ready(id, seq, expires_at, queue, kind, attempt, claim_no, crashes, priority) SELECT * FROM gone
