-- Index: the primary key.
UPDATE gristmill_task SET expires_at = NULL WHERE seq = ?1 AND expires_at IS NOT NULL
