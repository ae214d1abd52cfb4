-- Index: the primary key; gristmill_slot_task.
INSERT INTO gristmill_standby(key, late, task, needs)
VALUES (?1, iif(EXISTS (SELECT 1 FROM gristmill_slot s WHERE s.task = ?2), 0, ?2 << 20), ?2, ?3)
