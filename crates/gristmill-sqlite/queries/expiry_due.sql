-- Index: the primary key, in its order.
SELECT expires_at, seq FROM gristmill_expiry WHERE expires_at <= ?1 ORDER BY expires_at, seq LIMIT ?2
