-- Index: the primary keys of task and outcome.
SELECT NOT EXISTS (SELECT FROM {s}.outcome o WHERE o.id = $1 AND o.ended <> 0) FROM {s}.task t WHERE t.id = $1
