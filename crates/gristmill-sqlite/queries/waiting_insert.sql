-- Index: the primary key.
INSERT INTO gristmill_waiting(seq, queue, attempt, claim_no, crashes, flags) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
