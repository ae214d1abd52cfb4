-- Index: the primary key.
UPDATE {s}.tick t SET task = x.task, outcome = x.outcome, reason = x.reason
FROM unnest($1::text[], $2::bigint[], $3::smallint[], $4::text[], $5::uuid[]) AS x(schedule, at, outcome, reason, task)
WHERE t.schedule = x.schedule AND t.at = x.at
