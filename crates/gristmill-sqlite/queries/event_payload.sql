-- Index: the unique one on name.
SELECT payload, min(sent_at, ?2) FROM gristmill_event WHERE name = ?1 AND keep_until > ?2
