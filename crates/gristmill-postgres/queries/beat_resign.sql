-- Index: the primary key.
UPDATE {s}.beat SET expires_at = 0 WHERE beat = $1
