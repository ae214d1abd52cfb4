-- Index: the primary key. Which of these were enqueued, and due at first, so long ago. By ids that are known, so that a plan for them opens no other day.
SELECT id FROM {s}.task WHERE id = ANY($2) AND greatest(created_at, run_at) <= {now} - $3
