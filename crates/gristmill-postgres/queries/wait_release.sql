-- Index: the primary key of scheduled.
-- As scheduled_release.sql, of tasks whose arrivals are known, but for those whom somebody else has in hand, and for those that have run since
-- they came to wait: these are where they are to try again later.
WITH free AS MATERIALIZED (
  SELECT seq FROM {s}.scheduled WHERE seq = ANY($2) AND id = ANY($3) AND flags & {unknown} = 0
    AND (seq, claim_no) IN (SELECT * FROM unnest($2::bigint[], $4::integer[]))
  FOR UPDATE SKIP LOCKED
), gone AS (
  DELETE FROM {s}.scheduled WHERE seq = ANY (ARRAY(SELECT seq FROM free)) RETURNING {columns}, run_at
), placed AS (
  SELECT *, {placed} AS place FROM (SELECT {columns}, {now} AS run_at, false AS blocked, {now} AS now FROM gone) g
), {enter}
SELECT place, queue, kind FROM placed
