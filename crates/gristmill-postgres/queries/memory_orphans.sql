-- Index: the primary keys of memory and task. That $1 is named twice leaves out the days of other ids.
-- What is remembered of those of these tasks that are gone, once it was seen to what they have started.
DELETE FROM {s}.memory m
WHERE m.task = ANY($1) AND NOT m.child AND NOT EXISTS (SELECT FROM {s}.task t WHERE t.id = ANY($1) AND t.id = m.task AND t.seq = m.seq OFFSET 0)
