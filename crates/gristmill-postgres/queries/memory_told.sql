-- Index: memory_awaits; the unique index on name of event; the primary key of scheduled.
-- Those who awaited events have what these told, but for those whom somebody has in hand where they wait: these are told later.
UPDATE {s}.memory m SET code = 0, text = e.payload, until = NULL, awaits = NULL
FROM unnest($1::text[], $2::text[], $3::uuid[]) AS x(awaits, name, task)
CROSS JOIN LATERAL (SELECT payload FROM {s}.event WHERE name = x.name OFFSET 0) e
WHERE m.awaits = x.awaits AND m.task = x.task
  AND NOT EXISTS (SELECT FROM {s}.scheduled s WHERE s.seq = m.seq AND s.id = m.task AND s.claim_no = m.claim_no OFFSET 0)
