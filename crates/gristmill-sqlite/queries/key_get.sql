-- Index: the primary keys.
SELECT k.declared, k.pace, k.set_to, k.set_pace, coalesce((SELECT sum(s.cost) FROM gristmill_slot s WHERE s.key = ?1), 0), k.spent, k.look_at
FROM (SELECT 1) LEFT JOIN gristmill_key k ON k.key = ?1
