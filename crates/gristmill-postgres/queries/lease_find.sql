-- Index: the primary key.
-- What has a flag that only newer versions know is left to them.
SELECT id, fence FROM {s}.lease WHERE id = ANY($1) AND flags & {unknown} = 0 ORDER BY id FOR UPDATE
