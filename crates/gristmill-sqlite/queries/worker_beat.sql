-- Index: the unique index on id.
UPDATE gristmill_worker SET expires_at = ?2 WHERE id = ?1 AND expires_at > ?3
