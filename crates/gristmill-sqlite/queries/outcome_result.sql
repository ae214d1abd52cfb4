-- Index: the primary key.
SELECT result FROM gristmill_outcome WHERE seq = ?1 AND claim_no = ?2
