-- Index: the primary keys.
SELECT s.state = ?2 FROM gristmill_task t JOIN gristmill_step s ON s.workflow = t.workflow AND s.number = t.step WHERE t.seq = ?1
