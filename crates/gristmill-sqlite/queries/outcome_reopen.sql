-- Index: the primary key.
UPDATE gristmill_outcome SET ended = 0, keep_until = NULL, flags = 0 WHERE seq = ?1 AND claim_no = ?2
