-- Index: the primary keys of outcome and task, of the days of these ids alone where many are kept.
-- Members whose workflow has ended are kept as others are. Each is looked up: joined by their ids, all would be looked through for each.
UPDATE {s}.outcome o SET keep_until = {kept_after}
FROM unnest($1::uuid[]) AS x(id) CROSS JOIN LATERAL (SELECT retention FROM {s}.task t WHERE t.id = x.id{t_of_days} OFFSET 0) task
WHERE o.id = x.id{o_of_days} AND task.retention <> -1 AND o.ended <> 0 AND o.owed = 0 AND o.keep_until = 9223372036854775807
