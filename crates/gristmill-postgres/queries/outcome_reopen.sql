-- Index: the primary keys of outcome and of task. One row at most ends a task, and only one of two retries gets it. One whose end
-- somebody has still to deal with is left alone. A priority from when it was not checked is brought into its bounds, and the task found by
-- its id then.
WITH again AS (
  UPDATE {s}.outcome SET ended = 0, keep_until = NULL WHERE id = ANY($2) AND ended <> 0 AND owed = 0 RETURNING id, claim_no
), placed AS (
  SELECT *, {placed} AS place FROM (
    SELECT a.id, t.seq, NULL::bigint AS expires_at, t.queue, t.kind, 0 AS attempt, a.claim_no, 0 AS crashes,
           least(greatest(t.priority, 0), 9)::smallint AS priority,
           coalesce(t.flags, 0) | CASE WHEN t.priority BETWEEN 0 AND 9 THEN 0 ELSE {moved} END AS flags, {now} AS run_at, {now} AS now, false AS blocked
    FROM again a CROSS JOIN LATERAL (SELECT * FROM {s}.task t WHERE t.id = a.id OFFSET 0) t
  ) a
), {enter}
SELECT id, place FROM placed
