-- Index: the primary key.
INSERT INTO gristmill_lease(seq, mark, worker, queue, attempt, claim_no, crashes, started, retention, claimed_at, flags)
  VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)
