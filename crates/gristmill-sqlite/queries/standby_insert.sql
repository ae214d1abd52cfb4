-- Index: the primary key; gristmill_slot_task.
INSERT INTO gristmill_standby(key, late, task, needs)
VALUES (?1, NOT EXISTS (SELECT 1 FROM gristmill_slot s WHERE s.task = ?2), ?2, ?3)
