-- Index: none, it is written only.
INSERT INTO {s}.touched(key, declared, pace, said_by)
SELECT key, declared, pace, said_by FROM unnest($1::text[], $2::integer[], $3::text[], $4::bigint[]) AS x(key, declared, pace, said_by)
