-- Index: the primary key.
INSERT INTO gristmill_blocked(seq, run_at, queue, attempt, claim_no, crashes, flags) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
