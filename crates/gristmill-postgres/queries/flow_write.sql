-- Index: the primary keys of workflow and step.
-- How workflows stand now, and of their steps those that changed. That something became of it is written at most every five seconds, as it is
-- only asked whether it was long ago.
-- Steps are there, as their workflow is locked, and none is ever inserted by this: asked so, each is looked up by its key, whatever the plan was
-- made for. A plan that joined them would be kept from when the table was small, and go through all of it for each.
WITH steps AS (
  INSERT INTO {s}.step(workflow, number, state, closed, members, succeeded, failed, cancelled, chore, chore_from, first_id, last_id, held_from,
                       again, spec)
  SELECT x.*, '' FROM unnest($6::uuid[], $7::integer[], $8::smallint[], $9::boolean[], $10::integer[], $11::integer[], $12::integer[],
                             $13::integer[], $14::smallint[], $15::integer[], $16::uuid[], $17::uuid[], $18::integer[], $19::boolean[]) AS x
  ON CONFLICT (workflow, number) DO UPDATE
  SET state = excluded.state, closed = excluded.closed, members = excluded.members, succeeded = excluded.succeeded, failed = excluded.failed,
      cancelled = excluded.cancelled, chore = excluded.chore, chore_from = excluded.chore_from, first_id = excluded.first_id,
      last_id = excluded.last_id, held_from = excluded.held_from, again = excluded.again
), changed AS MATERIALIZED (
  SELECT x.*, w.at FROM unnest($2::uuid[], $3::boolean[], $4::boolean[], $5::smallint[], $20::smallint[]) AS x(id, paused, cancelled, ended, hold)
  CROSS JOIN LATERAL (
    SELECT ctid AS at FROM {s}.workflow w
    WHERE w.id = x.id
      AND (w.paused <> x.paused OR w.hold <> x.hold OR w.cancelled <> x.cancelled OR w.ended <> x.ended
           OR x.ended = 0 AND w.quiet_since < {now} - 5000) OFFSET 0
  ) w
)
UPDATE {s}.workflow w
SET paused = x.paused, hold = x.hold, cancelled = x.cancelled, ended = x.ended, quiet_since = {now},
    finished_at = CASE WHEN x.ended <> 0 THEN coalesce(w.finished_at, {now}) END,
    keep_until = CASE WHEN x.ended <> 0 AND w.retention <> -1
                      THEN coalesce(w.keep_until, {now} + greatest(least(w.retention, {kept_max}), 0)) END
FROM changed x WHERE w.ctid = x.at
