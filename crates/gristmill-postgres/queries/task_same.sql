-- Index: the primary key.
SELECT x.place, t.kind = x.kind AND t.args = x.args
FROM unnest($1::uuid[], $2::integer[], $3::text[]) WITH ORDINALITY AS x(id, kind, args, place)
CROSS JOIN LATERAL (SELECT kind, args FROM {s}.task t WHERE t.id = x.id{t_of_days} OFFSET 0) t
