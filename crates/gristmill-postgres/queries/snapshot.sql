-- Index: event_untold.
-- What is committed, as far as it can be told apart from what is not: it differs after every commit that wrote. And whether events were sent of
-- which nobody was told yet.
SELECT pg_current_snapshot()::text, EXISTS (SELECT FROM {s}.event WHERE NOT told)
