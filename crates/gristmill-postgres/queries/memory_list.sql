-- Index: the primary keys of memory and lease; the unique index on name of event.
-- All that a task remembers, and what time it is. What is left of another one that had its id is none of its. An event that was sent in time has
-- come, though nobody told of it yet.
SELECT {now}, m.position, m.name, m.occurrence, CASE WHEN t.told IS NULL THEN m.code ELSE 0::smallint END, coalesce(t.told, m.text),
       CASE WHEN t.told IS NULL THEN m.until END
FROM (VALUES (1)) AS one(row)
LEFT JOIN {s}.memory m ON m.task = $2 AND m.seq = coalesce((SELECT l.seq FROM {s}.lease l WHERE l.id = $2), m.seq)
LEFT JOIN LATERAL (
  SELECT CASE WHEN m.code = 4 THEN (SELECT payload FROM {s}.event WHERE name = m.text AND (m.until IS NULL OR least(sent_at, {now}) <= m.until)) END AS told OFFSET 0
) t ON true
