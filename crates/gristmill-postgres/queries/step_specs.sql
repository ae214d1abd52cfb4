-- Index: the primary key.
-- What the steps of workflows are.
SELECT workflow, number, spec FROM {s}.step WHERE workflow = ANY($1) ORDER BY workflow, number
