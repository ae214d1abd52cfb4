-- Index: the primary key.
-- Its deadline has passed, and nobody was faster.
UPDATE {s}.workflow SET overdue = true WHERE id = $1 AND ended = 0 AND NOT cancelled
