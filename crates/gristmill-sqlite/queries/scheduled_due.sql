-- Index: gristmill_scheduled_due, in its order.
SELECT seq, attempt, claim_no, crashes FROM gristmill_scheduled
  WHERE run_at <= ?1 ORDER BY run_at, seq LIMIT ?2
