-- Index: the primary key of memory.
UPDATE {s}.memory m SET awaits = x.awaits
FROM unnest($2::integer[], $3::text[]) AS x(position, awaits)
WHERE m.task = $1 AND m.position = x.position
