-- Index: event_untold, in its order; reads at most $2 rows.
-- Events that were sent a while ago, and not everybody who waits for them was told.
SELECT count(*) FROM (SELECT sent_at FROM {s}.event WHERE NOT told ORDER BY id LIMIT $2) head WHERE sent_at <= {now} - $3
