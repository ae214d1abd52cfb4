-- Index: the primary key of memory.
-- Those of these tasks that have started workflows.
SELECT DISTINCT task FROM {s}.memory WHERE task = ANY($1) AND code IN (6, 7)
