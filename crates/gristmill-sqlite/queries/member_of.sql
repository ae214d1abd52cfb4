-- Index: the primary key.
SELECT workflow, step FROM gristmill_task WHERE seq = ?1 AND workflow IS NOT NULL
