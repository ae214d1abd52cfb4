-- Index: event_untold, in its order.
SELECT id, name FROM {s}.event WHERE NOT told AND id > $1 ORDER BY id LIMIT $2
