-- Index: none: one row a task type, all of them wanted.
SELECT name, spec, paused FROM {s}.kind WHERE known ORDER BY name
