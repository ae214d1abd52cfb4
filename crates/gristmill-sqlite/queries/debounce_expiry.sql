-- Index: the primary keys.
-- The deadline of a debounced task ?1 that is put off: until ?2, or ?3 after it was made, if that is before.
UPDATE gristmill_expiry SET expires_at = n.at FROM (
  SELECT t.seq, t.expires_at AS before, t.expires_at + min(?2, coalesce(t.created_at + ?3, ?2)) - t.run_at AS at FROM gristmill_task t WHERE t.id = ?1
) n WHERE gristmill_expiry.expires_at = n.before AND gristmill_expiry.seq = n.seq
