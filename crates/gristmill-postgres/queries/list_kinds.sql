-- Index: none: one row a task type, all of them wanted.
SELECT id, name FROM {s}.kind
