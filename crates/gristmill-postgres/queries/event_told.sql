-- Index: the unique index on name of event; memory_awaits; the primary key of event.
-- Nobody waits for these any more. Whoever comes to wait at this moment looks for himself after his commit.
WITH over AS MATERIALIZED (
  SELECT e.id FROM unnest($1::text[], $2::text[]) AS x(awaits, name) JOIN {s}.event e ON e.name = x.name
  WHERE NOT e.told AND NOT EXISTS (SELECT FROM {s}.memory m WHERE m.awaits = x.awaits)
  FOR UPDATE OF e SKIP LOCKED
)
UPDATE {s}.event SET told = true WHERE id = ANY (ARRAY(SELECT id FROM over))
