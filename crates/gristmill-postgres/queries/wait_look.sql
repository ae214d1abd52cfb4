-- Index: memory_awaits.
-- What of this anybody waits for.
SELECT x.awaits FROM unnest($1::text[]) AS x(awaits) WHERE EXISTS (SELECT FROM {s}.memory m WHERE m.awaits = x.awaits OFFSET 0)
