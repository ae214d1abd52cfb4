-- Index: the primary key.
DELETE FROM gristmill_expiry WHERE expires_at = ?1 AND seq = ?2
