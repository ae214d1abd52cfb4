-- Index: the primary key.
SELECT 1 FROM gristmill_waiting WHERE seq = ?1 AND claim_no > 0
