-- Index: the primary key.
UPDATE {s}.standby b SET key = x.key FROM unnest($1::uuid[], $2::text[]) AS x(task, key) WHERE b.task = x.task
