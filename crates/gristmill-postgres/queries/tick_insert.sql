-- Index: the primary key.
-- One without a task that was written in the future, while the clock was ahead, stands in no one's way when its time comes.
INSERT INTO {s}.tick AS t (schedule, at, written_at, outcome, task, reason)
SELECT DISTINCT ON (x.schedule, x.at) x.schedule, x.at, {now}, x.outcome, x.task, x.reason
FROM unnest($2::text[], $3::bigint[], $4::smallint[], $5::uuid[], $6::text[])
  WITH ORDINALITY AS x(schedule, at, outcome, task, reason, place)
ORDER BY x.schedule, x.at, x.place
ON CONFLICT (schedule, at) DO UPDATE
  SET written_at = excluded.written_at, outcome = excluded.outcome, task = excluded.task, reason = excluded.reason
  WHERE t.task IS NULL AND t.written_at > excluded.written_at
RETURNING t.schedule, t.at
