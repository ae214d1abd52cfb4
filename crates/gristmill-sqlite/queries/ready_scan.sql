-- Index: the primary key, in its order.
SELECT priority, seq, kind, attempt, claim_no, crashes, flags, turn, task FROM gristmill_ready
  WHERE queue = ?1 ORDER BY priority, seq, turn
