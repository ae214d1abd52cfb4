-- Index: the primary key of label. How many rows each label has, of at most $2.
SELECT (SELECT count(*) FROM (SELECT FROM {s}.label l WHERE l.label = x.label LIMIT $2) c)
FROM unnest($1::text[]) WITH ORDINALITY AS x(label, place) ORDER BY x.place
