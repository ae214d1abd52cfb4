-- Index: the primary key.
INSERT INTO gristmill_parked(queue, kind, priority, seq, attempt, claim_no, crashes, turn, task, flags)
  VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)
