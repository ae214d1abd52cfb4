-- Index: none: one row a queue, all of them wanted.
SELECT id, name, paused FROM {s}.queue WHERE known ORDER BY name
