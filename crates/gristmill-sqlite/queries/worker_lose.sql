-- Index: the primary key.
UPDATE gristmill_worker SET lost = 1, expires_at = min(expires_at, ?2) WHERE key = ?1
