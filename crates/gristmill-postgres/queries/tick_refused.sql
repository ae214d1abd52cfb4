-- Index: the primary key.
UPDATE {s}.tick t SET task = NULL, outcome = x.outcome, reason = x.reason
FROM unnest($1::text[], $2::bigint[], $3::smallint[], $4::text[]) AS x(schedule, at, outcome, reason)
WHERE t.schedule = x.schedule AND t.at = x.at
