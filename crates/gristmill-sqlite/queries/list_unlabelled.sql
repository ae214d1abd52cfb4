-- Index: the primary key, in its order. What came before there were labels, as long as it may have none.
SELECT seq, queue, kind, created_at, meta IS NOT NULL FROM gristmill_task
  WHERE seq < ?1 AND seq > ?2 ORDER BY seq DESC LIMIT ?3
