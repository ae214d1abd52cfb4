-- Index: the primary keys; standby_line. Reads those whose names begin with $2, behind $3.
SELECT k.said_by, k.declared, k.pace, k.set_to, k.set_pace, k.spent, coalesce((SELECT sum(s.cost) FROM {s}.slot s WHERE s.key = k.key), 0)::bigint, k.look_at,
       {now}, k.key, (SELECT count(*) FROM (SELECT FROM {s}.standby b WHERE b.key = k.key LIMIT $5) b)
FROM {s}.key k
WHERE k.key >= $2 AND k.key <= $2 || chr(1114111) AND k.key > $3 AND starts_with(k.key, $2)
  AND (CASE WHEN starts_with(k.key, 'rate:') THEN k.set_pace IS NOT NULL ELSE k.set_to IS NOT NULL END OR EXISTS (SELECT FROM {s}.slot s WHERE s.key = k.key) OR EXISTS (SELECT FROM {s}.standby b WHERE b.key = k.key))
ORDER BY k.key LIMIT $4
