-- Index: the primary key; gristmill_standby_task.
-- Whether one of the tasks of the key ?1 waits in the line of another.
SELECT 1 FROM gristmill_key k JOIN gristmill_standby b ON b.task = k.away WHERE k.key = ?1 AND b.key <> ?1
