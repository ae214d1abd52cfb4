-- Index: the primary keys of task and its partitions, and of each place.
-- Arrays, so that a batch of any size is one statement. In the order of the ids, so that two batches with the same ids
-- wait for one another in one direction only. Arrays without a member of a workflow are empty, and read as nulls.
WITH new AS MATERIALIZED (
  SELECT x.*, nextval('{l}.arrival') AS seq, {now} AS now, coalesce(x.at, {now} + x.delay) AS due
  FROM unnest($2::uuid[], $3::integer[], $4::integer[], $5::smallint[], $6::integer[], $7::integer[], $8::smallint[],
              $9::bigint[], $10::bigint[], $11::bigint[], $12::bigint[], $13::bigint[], $14::text[], $15::text[],
              $16::integer[], $19::uuid[], $20::integer[], $21::integer[])
    AS x(id, queue, kind, priority, max_attempts, max_crashes, ack, retention, at, delay, expires, deadline, args, meta,
         flags, workflow, step, place)
  WHERE {brief18}
), placed AS (
  INSERT INTO {s}.task(id, seq, queue, kind, priority, max_attempts, max_crashes, ack, retention,
                       created_at, run_at, expires_at, args, meta, flags, workflow, step, place)
  SELECT id, seq, queue, kind, priority, max_attempts, max_crashes, ack, retention, now, due,
         coalesce(deadline, due + expires), args, meta, flags, workflow, step, place
  FROM new ORDER BY id
  ON CONFLICT (id) DO NOTHING
  RETURNING id, seq, queue, kind, priority, created_at, run_at, expires_at, coalesce(flags, 0) AS flags,
            0 AS attempt, 0 AS claim_no, 0 AS crashes, {placed_new} AS place
), {enter}
SELECT id, place, greatest(run_at, 0) - created_at{tell} FROM placed
