-- Index: the primary key.
-- Whether the tasks with these ids have these types ($2) and arguments ($3), of which null stands for any.
SELECT x.place, t.kind = x.kind AND coalesce(t.args = x.args, true)
FROM unnest($1::uuid[], $2::integer[], $3::text[]) WITH ORDINALITY AS x(id, kind, args, place)
CROSS JOIN LATERAL (SELECT kind, args FROM {s}.task t WHERE t.id = x.id{t_of_days} OFFSET 0) t
