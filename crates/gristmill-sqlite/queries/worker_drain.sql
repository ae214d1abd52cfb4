-- Index: the unique index on id.
UPDATE gristmill_worker SET drain = max(drain, 1) WHERE id = ?1 AND lost = 0
