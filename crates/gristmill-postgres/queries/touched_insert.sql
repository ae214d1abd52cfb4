-- Index: none, it is written only.
INSERT INTO {s}.touched(key, declared, said_by)
SELECT key, declared, said_by FROM unnest($1::text[], $2::integer[], $3::bigint[]) AS x(key, declared, said_by)
