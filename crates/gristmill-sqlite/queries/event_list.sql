-- Index: the primary key, in its order.
SELECT seq, name, payload, sent_at, keep_until FROM gristmill_event WHERE seq < ?1 AND keep_until > ?2 ORDER BY seq DESC LIMIT ?3
