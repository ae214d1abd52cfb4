-- Index: the primary keys; standby_line. Reads those whose names begin with $1, behind $2.
SELECT k.key, k.declared, k.set_to, coalesce((SELECT sum(s.cost) FROM {s}.slot s WHERE s.key = k.key), 0)::bigint,
       (SELECT count(*) FROM (SELECT FROM {s}.standby b WHERE b.key = k.key LIMIT $4) b)
FROM {s}.key k
WHERE k.key >= $1 AND k.key <= $1 || chr(1114111) AND k.key > $2 AND starts_with(k.key, $1)
  AND (k.set_to IS NOT NULL OR EXISTS (SELECT FROM {s}.slot s WHERE s.key = k.key) OR EXISTS (SELECT FROM {s}.standby b WHERE b.key = k.key))
ORDER BY k.key LIMIT $3
