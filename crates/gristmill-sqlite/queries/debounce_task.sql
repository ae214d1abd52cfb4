-- Index: the unique one of the id; the primary key of scheduled.
-- A debounced task ?1 is put off: until ?2, or ?3 after it was made, if that is before; with the arguments ?4 from now on.
UPDATE gristmill_task SET args = ?4, expires_at = expires_at + min(?2, coalesce(created_at + ?3, ?2)) - run_at, run_at = min(?2, coalesce(created_at + ?3, ?2))
WHERE id = ?1 AND EXISTS (SELECT 1 FROM gristmill_scheduled p WHERE p.seq = gristmill_task.seq AND p.claim_no = 0)
