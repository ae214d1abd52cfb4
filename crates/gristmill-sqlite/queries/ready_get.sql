-- Index: the primary keys. At the place of its arrival, or wherever else it stands.
SELECT attempt, claim_no, crashes, flags, seq, turn FROM gristmill_ready
  WHERE queue = ?1 AND priority = ?2 AND seq = ?3 AND turn = 0
UNION ALL SELECT r.attempt, r.claim_no, r.crashes, r.flags, r.seq, r.turn FROM gristmill_moved m
  CROSS JOIN gristmill_ready r ON r.queue = m.queue AND r.priority = m.priority AND r.seq = m.seq AND r.turn = m.turn
  WHERE m.task = ?3
LIMIT 1
