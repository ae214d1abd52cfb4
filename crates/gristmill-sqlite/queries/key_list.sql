-- Index: the primary keys; reads those whose names begin with ?1, behind ?2.
SELECT k.declared, k.pace, k.set_to, k.set_pace, coalesce((SELECT sum(s.cost) FROM gristmill_slot s WHERE s.key = k.key), 0), k.spent, k.look_at, k.key,
       (SELECT count(*) FROM (SELECT 1 FROM gristmill_standby b WHERE b.key = k.key LIMIT ?4))
FROM gristmill_key k
WHERE k.key >= ?1 AND k.key <= ?1 || char(1114111) AND k.key > ?2 AND substr(k.key, 1, length(?1)) = ?1
  AND (iif(k.key >= 'rate:' AND k.key < 'rate;', k.set_pace, k.set_to) IS NOT NULL OR EXISTS (SELECT 1 FROM gristmill_slot s WHERE s.key = k.key)
       OR EXISTS (SELECT 1 FROM gristmill_standby b WHERE b.key = k.key))
ORDER BY k.key LIMIT ?3
