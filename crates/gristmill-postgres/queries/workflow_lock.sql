-- Index: the primary key.
-- Those that nobody else has in hand: he looks once more after his commit.
SELECT id, seq FROM {s}.workflow WHERE id = ANY($1) FOR UPDATE SKIP LOCKED
