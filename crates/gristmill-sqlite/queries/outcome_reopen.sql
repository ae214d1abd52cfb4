-- Index: the primary key.
UPDATE gristmill_outcome SET ended = 0, keep_until = NULL WHERE seq = ?1 AND claim_no = ?2
