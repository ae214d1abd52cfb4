-- Index: the primary keys of lease and memory.
-- How many of these a task that runs remembers already.
SELECT count(*) FROM {s}.memory m
JOIN unnest($2::integer[], $3::text[], $4::integer[], $5::smallint[]) AS x(position, name, occurrence, code) USING (position, name, occurrence, code)
WHERE m.task = $1 AND m.seq = (SELECT l.seq FROM {s}.lease l WHERE l.id = $1)
