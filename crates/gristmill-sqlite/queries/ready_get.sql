-- Index: the primary key.
SELECT attempt, claim_no, crashes FROM gristmill_ready WHERE queue = ?1 AND priority = ?2 AND seq = ?3
