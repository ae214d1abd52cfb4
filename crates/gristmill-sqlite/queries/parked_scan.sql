-- Index: the primary key, in its order.
SELECT priority, seq, attempt, claim_no, crashes FROM gristmill_parked
  WHERE queue = ?1 AND kind = ?2 ORDER BY priority, seq LIMIT ?3
