-- Index: none, it is written only.
INSERT INTO {s}.touched(key, declared) SELECT key, declared FROM unnest($1::text[], $2::integer[]) AS x(key, declared)
