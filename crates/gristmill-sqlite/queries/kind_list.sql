-- Index: none: one row a task type, all of them wanted.
SELECT name, spec, paused FROM gristmill_kind ORDER BY name
