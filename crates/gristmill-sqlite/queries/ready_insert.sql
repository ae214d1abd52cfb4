-- Index: the primary key. At the place of its arrival, with nothing unusual, as nearly all.
INSERT INTO gristmill_ready(queue, priority, seq, kind, attempt, claim_no, crashes) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
