-- Index: the primary keys of task and workflow.
-- Those that belong to a workflow that goes on.
SELECT t.id FROM {s}.task t JOIN {s}.workflow w ON w.id = t.workflow WHERE t.id = ANY($1) AND w.ended = 0
