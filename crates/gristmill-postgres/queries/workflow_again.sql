-- Index: the primary key.
-- It is begun anew.
UPDATE {s}.workflow SET attempt = attempt + 1, overdue = false, deadline_at = {now} + deadline WHERE id = $2 RETURNING attempt
