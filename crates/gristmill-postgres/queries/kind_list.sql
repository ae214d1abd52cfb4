-- Index: none: one row a task type, all of them wanted.
SELECT name, spec FROM {s}.kind WHERE known ORDER BY name
