-- Index: the primary key, in its order.
SELECT priority, seq, kind, attempt, claim_no, crashes, flags, turn, task FROM gristmill_ready
  WHERE queue = ?1 AND priority = ?2 AND seq > ?3 ORDER BY seq, turn
