-- Index: the unique index on name of event, and not that of those which were not told; memory_awaits; the primary key of event.
-- Nobody waits for these any more. Whoever comes to wait at this moment looks for himself after his commit.
WITH over AS MATERIALIZED (
  SELECT e.id FROM unnest($1::text[], $2::text[]) AS x(awaits, name)
  CROSS JOIN LATERAL (SELECT id, told FROM {s}.event WHERE name = x.name OFFSET 0 FOR UPDATE SKIP LOCKED) e
  WHERE NOT e.told AND NOT EXISTS (SELECT FROM {s}.memory m WHERE m.awaits = x.awaits OFFSET 0)
)
UPDATE {s}.event SET told = true WHERE id = ANY (ARRAY(SELECT id FROM over))
