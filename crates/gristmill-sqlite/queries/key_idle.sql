-- Index: the primary keys; gristmill_standby_task; reads at most ?2 rows.
-- The keys behind ?1, and whether nothing is left to say of them.
SELECT k.key, iif(k.key >= 'rate:' AND k.key < 'rate;', k.set_pace, k.set_to) IS NULL AND coalesce(k.spent_until, 0) <= ?3 AND NOT EXISTS (SELECT 1 FROM gristmill_slot s WHERE s.key = k.key)
  AND NOT EXISTS (SELECT 1 FROM gristmill_standby b WHERE b.key = k.key)
  -- Or the next of its tasks would go to wait where one of them still does.
  AND NOT EXISTS (SELECT 1 FROM gristmill_standby b WHERE b.task = k.away)
FROM gristmill_key k WHERE k.key > ?1 ORDER BY k.key LIMIT ?2
