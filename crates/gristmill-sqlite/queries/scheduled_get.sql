-- Index: the primary key.
SELECT attempt, claim_no, crashes, run_at FROM gristmill_scheduled WHERE seq = ?1
