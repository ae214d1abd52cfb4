-- Index: the primary key.
SELECT attempt, claim_no, crashes FROM gristmill_parked WHERE queue = ?1 AND kind = ?2 AND priority = ?3 AND seq = ?4
