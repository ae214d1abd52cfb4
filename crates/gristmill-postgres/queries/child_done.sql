-- Index: the primary key of memory.
-- Their tasks have ended, and it was seen to what these have started.
UPDATE {s}.memory m SET child = false
FROM unnest($1::uuid[], $2::integer[]) AS x(task, position) WHERE m.task = x.task AND m.position = x.position AND m.child
