-- Index: the primary key.
INSERT INTO gristmill_outcome(seq, claim_no, attempt, crashes, state, finished_at, started_at, worker, result, error, logs, progress,
                              ended, keep_until, flags, owed)
  VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16)
