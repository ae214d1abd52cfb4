-- Index: the primary key.
SELECT attempt, claim_no, crashes, flags FROM gristmill_waiting WHERE seq = ?1
