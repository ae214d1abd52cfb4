-- Index: the primary key, or gristmill_ready_moved. At the place of its arrival, or wherever else it stands.
SELECT attempt, claim_no, crashes, flags, seq, turn FROM gristmill_ready
  WHERE queue = ?1 AND priority = ?2 AND seq = ?3 AND turn = 0
UNION ALL SELECT attempt, claim_no, crashes, flags, seq, turn FROM gristmill_ready WHERE task = ?3 AND task <> 0
LIMIT 1
