-- Index: the primary key of task, then that of memory. What it has started is for sweeps to see to, and to delete.
DELETE FROM gristmill_memory WHERE task = (SELECT t.id FROM gristmill_task t WHERE t.seq = ?1) AND NOT (code IN (6, 7) AND dropped = 0)
