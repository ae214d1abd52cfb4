-- Index: the primary key of memory.
-- What tasks that are retried by hand try again: failures, an event that did not come, what they were replaced by, and where their code parted
-- from what they remember.
DELETE FROM {s}.memory WHERE task = ANY($1) AND code IN (1, 5, 7, 8)
