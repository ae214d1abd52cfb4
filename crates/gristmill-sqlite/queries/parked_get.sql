-- Index: the primary key, or gristmill_parked_moved. At the place of its arrival, or wherever else it stands.
SELECT attempt, claim_no, crashes, flags, seq, turn FROM gristmill_parked
  WHERE queue = ?1 AND kind = ?2 AND priority = ?3 AND seq = ?4 AND turn = 0
UNION ALL SELECT attempt, claim_no, crashes, flags, seq, turn FROM gristmill_parked WHERE task = ?4 AND task <> 0
LIMIT 1
