-- Index: the primary key.
SELECT error FROM gristmill_outcome WHERE seq = ?1 AND error IS NOT NULL ORDER BY claim_no DESC LIMIT 1
