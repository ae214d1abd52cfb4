-- Index: gristmill_scheduled_due, in its order. Without those that have one of the flags ?3.
SELECT seq, attempt, claim_no, crashes, flags FROM gristmill_scheduled
  WHERE run_at <= ?1 AND flags & ?3 = 0 ORDER BY run_at, seq LIMIT ?2
