-- Index: none: one row a queue, all of them wanted.
SELECT id, name, paused FROM gristmill_queue ORDER BY name
