-- Index: the primary keys.
SELECT t.id FROM gristmill_standby b JOIN gristmill_task t ON t.seq = b.task WHERE b.key = ?1 ORDER BY b.late, b.task LIMIT ?2
