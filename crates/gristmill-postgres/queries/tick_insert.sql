-- Index: the primary key.
INSERT INTO {s}.tick(schedule, at, written_at, outcome, task, reason)
SELECT x.schedule, x.at, {now}, x.outcome, x.task, x.reason
FROM unnest($2::text[], $3::bigint[], $4::smallint[], $5::uuid[], $6::text[]) AS x(schedule, at, outcome, task, reason)
ORDER BY x.schedule, x.at
ON CONFLICT (schedule, at) DO NOTHING
RETURNING schedule, at
