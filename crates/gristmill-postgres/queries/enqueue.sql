-- Index: the primary keys of task and its partitions, and of each place.
-- Arrays, so that a batch of any size is one statement. In the order of the ids, so that two batches with the same ids
-- wait for one another in one direction only. What holds few of them back has arrays of its own.
WITH new AS MATERIALIZED (
  SELECT x.*, nextval('{l}.arrival') AS seq, {now} AS now, coalesce(x.at, {now} + x.delay) AS due, h.flags
  FROM unnest($2::uuid[], $3::integer[], $4::integer[], $5::smallint[], $6::integer[], $7::integer[], $8::smallint[],
              $9::bigint[], $10::bigint[], $11::bigint[], $12::bigint[], $13::bigint[], $14::text[], $15::text[])
    AS x(id, queue, kind, priority, max_attempts, max_crashes, ack, retention, at, delay, expires, deadline, args, meta)
  LEFT JOIN unnest($16::uuid[], $17::integer[]) AS h(id, flags) ON h.id = x.id
  WHERE {brief19}
), kept AS (
  INSERT INTO {s}.task(id, seq, queue, kind, priority, max_attempts, max_crashes, ack, retention,
                       created_at, run_at, expires_at, args, meta, flags)
  SELECT id, seq, queue, kind, priority, max_attempts, max_crashes, ack, retention, now, due,
         coalesce(deadline, due + expires), args, meta, flags
  FROM new ORDER BY id
  ON CONFLICT (id) DO NOTHING
  RETURNING id, seq, queue, kind, priority, created_at AS now, run_at, expires_at, coalesce(flags, 0) AS flags
), placed AS (
  SELECT *, {placed} AS place FROM (
    SELECT k.*, 0 AS attempt, 0 AS claim_no, 0 AS crashes, k.id = ANY($18) AS blocked FROM kept k
  ) k
), {enter}
SELECT id, place, greatest(run_at, 0) - now{tell} FROM placed
