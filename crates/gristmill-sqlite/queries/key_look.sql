-- Index: the primary key.
UPDATE gristmill_key SET look_at = ?2 WHERE key = ?1 AND look_at IS NOT ?2
