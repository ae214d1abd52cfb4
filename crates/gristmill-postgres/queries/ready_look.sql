-- Index: the primary key of worker; the unique index on name of queue; the primary key of ready.
-- Which of several queues are worth a claim, in one statement and without locks; one with many tasks of other types at its head is.
SELECT a.alive, q.id, q.name, q.known, r.may
FROM (
  SELECT EXISTS (SELECT FROM {s}.worker WHERE key = $2 AND epoch = $3 AND expires_at > {now}) AS alive
) a
LEFT JOIN {s}.queue q ON q.name = ANY($4)
LEFT JOIN LATERAL (
  SELECT NOT q.paused AND (count(*) = 100 OR coalesce(bool_or(h.kind = ANY($5)), false)) AS may
  FROM (SELECT kind FROM {s}.ready WHERE queue = q.id AND flags & {unknown} = 0 LIMIT 100) h
) r ON true
