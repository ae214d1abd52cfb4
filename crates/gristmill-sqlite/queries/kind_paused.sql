-- Index: none: one row a task type.
SELECT name FROM gristmill_kind WHERE paused <> 0
