-- Index: the primary key.
UPDATE gristmill_beat SET expires_at = 0 WHERE one = 1 AND beat = ?1
