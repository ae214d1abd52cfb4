-- Index: the unique index on name of event.
SELECT id, name, payload, sent_at, keep_until FROM {s}.event WHERE name = $2 AND keep_until > {now}
