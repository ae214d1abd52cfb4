-- Index: task_member, in its order; the primary keys of lease, outcome and the places.
-- Members from a place on with what became of them, as many as have $7 bytes of results together, but one at least.
SELECT place, id, at, attempt, ended, result, error FROM (
  SELECT t.place, t.id, CASE WHEN l.found THEN -1 WHEN e.found THEN -2 ELSE p.place::integer END AS at,
         coalesce(l.attempt, e.attempt, p.attempt) AS attempt, e.ended, e.result, b.error,
         row_number() OVER (ORDER BY t.place) AS nth, sum(coalesce(octet_length(e.result), 0)) OVER (ORDER BY t.place) AS bytes
  FROM (
    SELECT id, seq, queue, kind, priority, place FROM {s}.task
    WHERE workflow = $1 AND step = $2 AND place >= $3 AND id >= $5 AND id <= $6 ORDER BY place LIMIT $4
  ) t
  LEFT JOIN LATERAL (SELECT true AS found, l.attempt FROM {s}.lease l WHERE l.id = t.id OFFSET 0) l ON true
  LEFT JOIN LATERAL (
    SELECT true AS found, attempt, ended, result FROM {s}.outcome o
    WHERE o.id = t.id AND o.id >= $5 AND o.id <= $6 AND o.ended <> 0 ORDER BY o.claim_no DESC LIMIT 1
  ) e ON l.found IS NULL
  {standing}
  LEFT JOIN LATERAL (
    SELECT error FROM {s}.outcome o
    WHERE o.id = t.id AND o.id >= $5 AND o.id <= $6 AND o.error IS NOT NULL ORDER BY o.claim_no DESC LIMIT 1
  ) b ON e.ended IS DISTINCT FROM 1
) m WHERE nth = 1 OR bytes <= $7 ORDER BY place
