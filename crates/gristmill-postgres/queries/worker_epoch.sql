-- Index: the primary key.
UPDATE {s}.worker SET epoch = epoch + 1 WHERE key = $1 RETURNING epoch
