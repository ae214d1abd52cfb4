-- Index: the primary key.
SELECT attempt, claim_no, crashes, flags, run_at FROM gristmill_blocked WHERE seq = ?1
