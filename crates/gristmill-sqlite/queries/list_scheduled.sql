-- Index: the primary key, in its order.
SELECT seq, queue FROM gristmill_scheduled WHERE seq < ?1 AND seq > ?2 ORDER BY seq DESC LIMIT ?3
