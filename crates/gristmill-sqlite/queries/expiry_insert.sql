-- Index: the primary key.
INSERT OR IGNORE INTO gristmill_expiry(expires_at, seq) VALUES (?1, ?2)
