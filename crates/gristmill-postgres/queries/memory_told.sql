-- Index: memory_awaits; the unique index on name of event; the primary key of scheduled.
-- Those who awaited events have what these told, but for those whom somebody has in hand where they wait: these are told later. What was sent
-- too late is not what was awaited; and nothing is awaited any more. One that seems to be sent later than now was so by a clock that was ahead.
UPDATE {s}.memory m
SET awaits = NULL, code = CASE WHEN e.sent_at > m.until THEN m.code ELSE 0 END, text = CASE WHEN e.sent_at > m.until THEN m.text ELSE e.payload END,
    until = CASE WHEN e.sent_at > m.until THEN m.until END
FROM unnest($2::text[], $3::text[], $4::uuid[]) AS x(awaits, name, task)
CROSS JOIN LATERAL (SELECT payload, least(sent_at, {now}) AS sent_at FROM {s}.event WHERE name = x.name OFFSET 0) e
WHERE m.awaits = x.awaits AND m.task = x.task
  AND NOT EXISTS (SELECT FROM {s}.scheduled s WHERE s.seq = m.seq AND s.id = m.task AND s.claim_no = m.claim_no OFFSET 0)
