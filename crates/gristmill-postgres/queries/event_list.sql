-- Index: the primary key of event, from its end.
SELECT id, name, payload, sent_at, keep_until FROM {s}.event
WHERE id < $2 AND keep_until > {now} ORDER BY id DESC LIMIT $3
