-- Index: the primary key.
UPDATE gristmill_outcome SET owed = 0 WHERE seq = ?1 AND claim_no = ?2
