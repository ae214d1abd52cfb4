-- Index: the primary keys of outcome and task, of the days of these ids alone.
-- Members whose workflow has ended are kept as others are.
UPDATE {s}.outcome o SET keep_until = {kept_after} FROM {s}.task
WHERE o.id = ANY($1) AND task.id = ANY($1) AND task.id = o.id AND task.retention <> -1 AND o.ended <> 0 AND o.owed = 0 AND o.keep_until = 9223372036854775807
