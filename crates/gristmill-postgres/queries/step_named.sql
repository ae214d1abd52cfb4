-- Index: the primary key; a workflow has a thousand steps at most.
SELECT number, first_id, last_id FROM {s}.step WHERE workflow = $1 AND spec::json ->> 'name' = $2
