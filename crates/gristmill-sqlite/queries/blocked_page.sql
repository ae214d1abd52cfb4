-- Index: the primary key.
SELECT seq FROM gristmill_blocked WHERE seq < ?1 ORDER BY seq DESC LIMIT ?2
