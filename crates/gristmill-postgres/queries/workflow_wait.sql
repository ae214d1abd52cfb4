-- Index: the primary key.
-- In the order of the ids, so that two who lock several wait for one another in one direction only.
SELECT id, seq FROM {s}.workflow WHERE id = ANY($1) ORDER BY id FOR UPDATE
