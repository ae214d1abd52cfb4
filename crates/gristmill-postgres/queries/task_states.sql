-- Index: the primary keys of lease, outcome, task and each place.
SELECT CASE
  WHEN EXISTS (SELECT FROM {s}.lease l WHERE l.id = x.id) THEN -1
  WHEN e.ended IS NOT NULL THEN -10 - e.ended
  WHEN t.seq IS NULL THEN -2
  ELSE p.place::integer END
FROM unnest($1::uuid[]) WITH ORDINALITY AS x(id, place)
LEFT JOIN LATERAL (SELECT id, seq, queue, kind, priority FROM {s}.task t WHERE t.id = x.id{t_of_days} OFFSET 0) t ON true
LEFT JOIN LATERAL (
  SELECT ended FROM {s}.outcome o WHERE o.id = x.id{o_of_days} AND o.ended <> 0 ORDER BY o.claim_no DESC LIMIT 1
) e ON true
{standing}
ORDER BY x.place
