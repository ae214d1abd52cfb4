-- Index: gristmill_slot_task.
-- What a task holds no more: all of it once it has ended, which is ?2.
DELETE FROM gristmill_slot WHERE task = ?1 AND (until_ended = 0 OR ?2) RETURNING key
