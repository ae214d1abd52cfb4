-- Index: the primary keys of lease and worker.
-- Locked first, in the order of the ids. Then by id and not by place: a lease that somebody changed while this waited for it has
-- a new place, which this statement, being older, does not see. What the bodies say is asked apart: task_facts.sql.
WITH hit AS MATERIALIZED (
  SELECT x.id FROM unnest($2::uuid[], $3::uuid[]) AS x(id, fence)
  CROSS JOIN LATERAL (SELECT FROM {s}.lease l WHERE l.id = x.id AND l.fence = x.fence OFFSET 0 FOR UPDATE) l
), gone AS (
  DELETE FROM {s}.lease WHERE id = ANY (ARRAY(SELECT id FROM hit)) RETURNING *
)
SELECT g.id, g.seq, g.retention, g.claimed_at, g.attempt, g.claim_no, g.crashes, g.started, g.cancel, g.noted,
       (SELECT w.name FROM {s}.worker w WHERE w.key = g.worker), g.fence, g.flags, {now}
FROM gone g
