-- Index: the primary keys.
SELECT k.declared, k.pace, k.set_to, k.set_pace, coalesce((SELECT sum(s.cost) FROM gristmill_slot s WHERE s.key = k.key), 0), k.spent, k.look_at, k.key,
       (SELECT count(*) FROM (SELECT 1 FROM gristmill_standby b WHERE b.key = k.key LIMIT ?2))
FROM gristmill_key k WHERE k.key = ?1
