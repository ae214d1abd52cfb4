-- Index: the primary key.
SELECT x.key, coalesce((SELECT sum(s.cost) FROM {s}.slot s WHERE s.key = x.key), 0)::bigint FROM unnest($1::text[]) AS x(key)
