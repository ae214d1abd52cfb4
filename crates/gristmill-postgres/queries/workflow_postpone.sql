-- Index: the primary key.
-- The deadline of one that can't be cancelled is looked at again in $3 ms, so that it hides no others.
UPDATE {s}.workflow SET deadline_at = {now} + $3 WHERE id = $2 AND ended = 0
