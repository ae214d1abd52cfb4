-- Index: none: one row a task type.
SELECT id FROM {s}.kind WHERE paused
