-- Index: the primary key, in its order. Without those that have one of the flags ?4.
SELECT priority, seq, attempt, claim_no, crashes, flags, turn, task FROM gristmill_parked
  WHERE queue = ?1 AND kind = ?2 AND flags & ?4 = 0 ORDER BY priority, seq, turn LIMIT ?3
