-- Index: the primary key.
SELECT logs, progress FROM gristmill_live WHERE seq = ?1
