-- Index: the primary key. What waits no longer for its time is due now, as far as anybody looks.
UPDATE gristmill_task SET run_at = ?2 WHERE seq = ?1 AND run_at > ?2
