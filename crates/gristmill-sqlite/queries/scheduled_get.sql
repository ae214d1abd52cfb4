-- Index: the primary key.
SELECT attempt, claim_no, crashes, flags, run_at FROM gristmill_scheduled WHERE seq = ?1
