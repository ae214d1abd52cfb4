-- Index: the primary keys.
-- A debounced task ?1 is put off: until ?2, or ?3 after it was made, if that is before.
UPDATE gristmill_scheduled SET run_at = n.at FROM (SELECT t.seq, min(?2, coalesce(t.created_at + ?3, ?2)) AS at FROM gristmill_task t WHERE t.id = ?1) n
WHERE gristmill_scheduled.seq = n.seq AND gristmill_scheduled.claim_no = 0
