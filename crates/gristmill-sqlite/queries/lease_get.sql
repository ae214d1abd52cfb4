-- Index: the primary key.
SELECT worker, attempt, crashes, cancel, claim_no, claimed_at FROM gristmill_lease WHERE seq = ?1
