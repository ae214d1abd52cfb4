-- Index: the unique one on name.
SELECT seq, name, payload, sent_at, keep_until FROM gristmill_event WHERE seq < ?1 AND keep_until > ?2 AND name = ?4 LIMIT ?3
