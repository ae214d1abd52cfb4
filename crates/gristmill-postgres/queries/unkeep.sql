-- Index: the primary keys of outcome and task, of the days of these ids alone where many are kept.
-- Members whose workflow has ended are kept as others are. Each is looked up: joined by their ids, all outcomes might be looked through for
-- each; and asked in words that no index knows, as by that of keep_until all that are kept for ever would be.
UPDATE {s}.outcome o
SET keep_until = coalesce((SELECT {kept_after} FROM (SELECT retention FROM {s}.task t WHERE t.id = o.id{t_of_days} OFFSET 0) task), o.keep_until)
WHERE o.id = ANY($1) AND o.ended <> 0 AND o.owed = 0 AND o.keep_until IS NOT DISTINCT FROM 9223372036854775807
