-- Index: the primary key. Whoever retries wants it to run, however late it is.
UPDATE {s}.task SET expires_at = NULL WHERE id = ANY($1) AND expires_at IS NOT NULL
