-- Index: the primary key of task; the unique one on id.
SELECT w.ended = 0 FROM gristmill_task t JOIN gristmill_workflow w ON w.id = t.workflow WHERE t.seq = ?1
