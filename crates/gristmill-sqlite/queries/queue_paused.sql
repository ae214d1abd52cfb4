-- Index: the primary key.
SELECT paused FROM gristmill_queue WHERE id = ?1
