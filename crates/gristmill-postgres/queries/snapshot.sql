-- Index: event_untold; the primary key of touched.
-- What is committed, as far as it can be told apart from what is not: it differs after every commit that wrote. And the first and the last
-- of the events of which nobody was told yet, and whether keys were touched of which nobody has seen to.
SELECT pg_current_snapshot()::text, (SELECT min(id) || '-' || max(id) FROM {s}.event WHERE NOT told), EXISTS (SELECT FROM {s}.touched)
