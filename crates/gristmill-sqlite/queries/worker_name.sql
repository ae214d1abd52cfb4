-- Index: the primary key.
SELECT name FROM gristmill_worker WHERE key = ?1
