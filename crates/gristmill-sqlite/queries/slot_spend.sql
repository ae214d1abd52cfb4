-- Index: gristmill_slot_task.
-- What a task has taken of rates.
DELETE FROM gristmill_slot WHERE task = ?1 AND key >= 'rate:' AND key < 'rate;' RETURNING key, cost
