-- Index: the primary keys of lease, outcome, task, scheduled. What is kept and in none of these is ready or parked.
SELECT CASE
  WHEN EXISTS (SELECT FROM {s}.lease l WHERE l.id = x.id) THEN 1
  WHEN e.ended IS NOT NULL THEN 10 + e.ended
  WHEN t.seq IS NULL THEN 0
  WHEN EXISTS (SELECT FROM {s}.scheduled s WHERE s.seq = t.seq) THEN 3
  ELSE 4 END
FROM unnest($1::uuid[]) WITH ORDINALITY AS x(id, place)
LEFT JOIN LATERAL (SELECT seq FROM {s}.task t WHERE t.id = x.id OFFSET 0) t ON true
LEFT JOIN LATERAL (
  SELECT ended FROM {s}.outcome o WHERE o.id = x.id AND o.ended <> 0 ORDER BY o.claim_no DESC LIMIT 1
) e ON true
ORDER BY x.place
