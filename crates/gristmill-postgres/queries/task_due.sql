-- Index: the primary key. What waits no longer for its time is due now, as far as anybody looks.
UPDATE {s}.task SET run_at = $2 WHERE id = ANY($1) AND run_at > $2
