-- Index: the primary key.
SELECT meta FROM gristmill_task WHERE seq = ?1 AND meta IS NOT NULL
