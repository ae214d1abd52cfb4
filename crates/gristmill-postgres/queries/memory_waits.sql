-- Index: the primary key of memory.
-- What a task may wait for. Locked, so that whoever tells of it does so before or after, and sees where the task is then.
SELECT position, code, text, until, awaits FROM {s}.memory WHERE task = $1 AND seq = $2 AND code IN (4, 6, 7) FOR UPDATE
