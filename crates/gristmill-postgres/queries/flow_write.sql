-- Index: the primary keys of workflow and step.
-- How workflows stand now, and of their steps those that changed. That something became of it is written at most every five seconds, as it is
-- only asked whether it was long ago.
WITH steps AS (
  UPDATE {s}.step s
  SET state = x.state, closed = x.closed, members = x.members, succeeded = x.succeeded, failed = x.failed, cancelled = x.cancelled,
      chore = x.chore, chore_from = x.chore_from, first_id = x.first_id, last_id = x.last_id,
      held_from = x.held_from, again = x.again
  FROM unnest($6::uuid[], $7::integer[], $8::smallint[], $9::boolean[], $10::integer[], $11::integer[], $12::integer[], $13::integer[],
              $14::smallint[], $15::integer[], $16::uuid[], $17::uuid[], $18::integer[], $19::boolean[])
    AS x(workflow, number, state, closed, members, succeeded, failed, cancelled, chore, chore_from, first_id, last_id, held_from, again)
  WHERE s.workflow = x.workflow AND s.number = x.number
)
UPDATE {s}.workflow w
SET paused = x.paused, hold = x.hold, cancelled = x.cancelled, ended = x.ended, quiet_since = {now},
    finished_at = CASE WHEN x.ended <> 0 THEN coalesce(w.finished_at, {now}) END,
    keep_until = CASE WHEN x.ended <> 0 AND w.retention <> -1
                      THEN coalesce(w.keep_until, {now} + greatest(least(w.retention, {kept_max}), 0)) END
FROM unnest($2::uuid[], $3::boolean[], $4::boolean[], $5::smallint[], $20::smallint[]) AS x(id, paused, cancelled, ended, hold)
WHERE w.id = x.id
  AND (w.paused <> x.paused OR w.hold <> x.hold OR w.cancelled <> x.cancelled OR w.ended <> x.ended OR x.ended = 0 AND w.quiet_since < {now} - 5000)
