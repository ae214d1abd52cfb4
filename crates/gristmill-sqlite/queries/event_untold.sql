-- Index: gristmill_event_untold, in its order.
SELECT seq, name, payload, sent_at FROM gristmill_event INDEXED BY gristmill_event_untold WHERE untold <> 0 ORDER BY seq LIMIT 1
