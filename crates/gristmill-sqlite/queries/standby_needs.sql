-- Index: gristmill_standby_task.
UPDATE gristmill_standby SET needs = ?2 WHERE task = ?1
