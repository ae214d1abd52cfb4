-- Index: the primary key of task, then that of memory.
DELETE FROM gristmill_memory WHERE task = (SELECT t.id FROM gristmill_task t WHERE t.seq = ?1)
