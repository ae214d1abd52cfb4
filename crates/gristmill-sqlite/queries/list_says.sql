-- Index: the primary key.
SELECT kind, meta FROM gristmill_task WHERE seq = ?1
