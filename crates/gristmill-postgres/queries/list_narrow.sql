-- Index: the primary keys of task, label, lease, outcome, and of the places.
-- Those of some tasks that match, in their order. Labels are asked for from place $7 in the order of arrival on.
SELECT array_agg(t.id ORDER BY x.place), array_agg(t.seq ORDER BY x.place)
FROM unnest($1::uuid[]) WITH ORDINALITY AS x(id, place)
CROSS JOIN LATERAL (SELECT id, seq, queue, kind, priority, created_at FROM {s}.task t WHERE t.id = x.id OFFSET 0) t
WHERE ($2::integer IS NULL OR t.queue = $2) AND ($3::integer[] IS NULL OR t.kind = ANY($3))
  AND t.created_at >= $4 AND t.created_at < $5
  AND CASE WHEN $6::text[] IS NULL OR t.seq < $7 THEN true ELSE
        (SELECT count(*) FROM {s}.label l WHERE l.label = ANY($6) AND l.seq = t.seq AND l.id = t.id) = cardinality($6) END
  AND CASE WHEN $8::integer[] IS NULL THEN true ELSE CASE
        WHEN EXISTS (SELECT FROM {s}.lease l WHERE l.id = t.id) THEN 1
        ELSE coalesce(
          (SELECT 10 + o.ended FROM {s}.outcome o WHERE o.id = t.id AND o.ended <> 0 ORDER BY o.claim_no DESC LIMIT 1),
          (SELECT 2 + p.place FROM (SELECT) one {standing}))
      END = ANY($8) END
  AND CASE WHEN $9::text IS NULL THEN true ELSE CASE
        WHEN EXISTS (SELECT FROM {s}.lease l WHERE l.id = t.id)
        THEN (SELECT w.name FROM {s}.lease l JOIN {s}.worker w ON w.key = l.worker WHERE l.id = t.id)
        ELSE (SELECT o.worker FROM {s}.outcome o WHERE o.id = t.id ORDER BY o.claim_no DESC LIMIT 1)
      END = $9 END
