-- Index: gristmill_standby_task.
SELECT key, late, needs FROM gristmill_standby WHERE task = ?1
