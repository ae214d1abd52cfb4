-- Index: the primary key.
UPDATE gristmill_outcome SET keep_until = ?3 WHERE seq = ?1 AND claim_no = ?2
