-- Index: gristmill_slot_task.
SELECT key FROM gristmill_slot WHERE task = ?1
