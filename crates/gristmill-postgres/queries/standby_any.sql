-- Index: standby_line.
-- Those of the keys that somebody waits for.
SELECT x.key FROM unnest($1::text[]) AS x(key) WHERE EXISTS (SELECT FROM {s}.standby b WHERE b.key = x.key)
