-- Index: gristmill_schedule_due.
SELECT min(due_at) FROM gristmill_schedule WHERE due_at > ?1
