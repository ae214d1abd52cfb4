-- Index: the unique one on name.
SELECT payload, sent_at FROM gristmill_event WHERE name = ?1 AND keep_until > ?2
