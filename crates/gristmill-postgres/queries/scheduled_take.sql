-- Index: the primary key.
DELETE FROM {s}.scheduled WHERE seq = ANY($1) RETURNING id, seq, attempt, claim_no, crashes
