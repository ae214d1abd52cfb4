-- Index: the unique index on id. However late: as long as nobody took it for dead, nobody took its tasks.
UPDATE gristmill_worker SET expires_at = ?2, lease = ?3, drain = iif(drain = 0, 0, 2) WHERE id = ?1 AND lost = 0 RETURNING drain
