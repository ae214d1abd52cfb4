-- Index: none: one row a task type, all of them wanted.
SELECT name FROM gristmill_kind
