-- Index: the primary key.
-- Its deadline has passed, and nobody was faster: nor has it been begun anew since it was seen.
UPDATE {s}.workflow SET overdue = true WHERE id = $2 AND ended = 0 AND NOT cancelled AND deadline_at <= {now}
