-- Index: the primary keys of task and scheduled, which is that of the arrival.
WITH gone AS (
  DELETE FROM {s}.scheduled
  WHERE seq = ANY (ARRAY(SELECT seq FROM {s}.task WHERE id = ANY($2))) AND id = ANY($2) AND flags & {unknown} = 0
  RETURNING {columns}, run_at
), placed AS (
  SELECT *, {placed} AS place FROM (SELECT {columns}, {now} AS run_at, false AS blocked, {now} AS now FROM gone) g
), {enter}
SELECT id, place FROM placed
