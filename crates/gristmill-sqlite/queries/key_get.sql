-- Index: the primary keys.
SELECT k.declared, k.set_to, coalesce((SELECT sum(s.cost) FROM gristmill_slot s WHERE s.key = ?1), 0)
FROM (SELECT 1) LEFT JOIN gristmill_key k ON k.key = ?1
