-- Index: the primary keys.
SELECT k.key, k.declared, k.set_to, coalesce((SELECT sum(s.cost) FROM gristmill_slot s WHERE s.key = k.key), 0),
       (SELECT count(*) FROM (SELECT 1 FROM gristmill_standby b WHERE b.key = k.key LIMIT ?2))
FROM gristmill_key k WHERE k.key = ?1
