-- Index: the primary keys of lease, worker and task.
-- As settle_plain.sql, of members of workflows: what steps have to learn is written with it, a row for each of them. Whatever their retention,
-- they are kept until their workflow has ended.
WITH x AS MATERIALIZED (
  SELECT * FROM unnest($2::uuid[], $3::uuid[], $4::bigint[], $5::text[], $6::text[], $7::text[])
    AS x(id, fence, ran, result, logs, progress)
  WHERE {brief9}
), hit AS MATERIALIZED (
  SELECT x.*, l.at FROM x CROSS JOIN LATERAL (
    SELECT ctid AS at FROM {s}.lease l WHERE l.id = x.id AND l.fence = x.fence AND l.flags = {member} AND NOT l.noted OFFSET 0
  ) l
), gone AS (
  DELETE FROM {s}.lease l USING hit h
  WHERE l.ctid = h.at AND l.fence = h.fence AND NOT l.noted AND (NOT $8 OR (SELECT count(*) FROM hit) = cardinality($2))
  RETURNING l.id, l.fence, l.seq, l.attempt, l.claim_no, l.crashes, l.worker, l.claimed_at, l.retention, l.flags,
            h.ran, h.result, h.logs, h.progress
), kept AS (
  INSERT INTO {s}.outcome(id, seq, finished_at, started_at, keep_until, claim_no, attempt, crashes, state, ended,
                          worker, result, logs, progress)
  SELECT id, seq, {now}, greatest(claimed_at, {now} - ran), {keep}, claim_no, attempt, crashes, 1, 1,
         (SELECT w.name FROM {s}.worker w WHERE w.key = gone.worker), result, logs, progress
  FROM gone
), told AS (
  SELECT t.workflow, t.step, 1 AS ended, 1 AS n
  FROM gone g CROSS JOIN LATERAL (SELECT workflow, step FROM {s}.task t WHERE t.id = g.id OFFSET 0) t
), reported AS (
  {report}
)
SELECT id, fence FROM gone
WHERE (SELECT CASE WHEN NOT $8 OR count(*) IN (0, cardinality($2)) THEN true ELSE {s}.lease_changed() END FROM gone)
