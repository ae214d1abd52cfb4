-- Index: gristmill_standby_task.
DELETE FROM gristmill_standby WHERE task = ?1
