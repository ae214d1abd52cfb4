-- Index: the primary key, in its order.
SELECT worker FROM gristmill_outcome WHERE seq = ?1 ORDER BY claim_no DESC LIMIT 1
