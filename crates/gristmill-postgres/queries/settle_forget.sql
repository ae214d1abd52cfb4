-- Index: the primary keys of lease and task.
-- First-time successes of which nothing is to be kept and nothing was noted. The rest, $3 and $4 as in settle_plain.
WITH x AS MATERIALIZED (
  SELECT * FROM unnest($1::uuid[], $2::uuid[]) AS x(id, fence) WHERE {brief4}
), hit AS MATERIALIZED (
  SELECT x.fence, l.at FROM x CROSS JOIN LATERAL (
    SELECT ctid AS at FROM {s}.lease l
    WHERE l.id = x.id AND l.fence = x.fence AND l.flags = 0 AND NOT l.noted AND l.retention = -2 AND l.claim_no = 1 OFFSET 0
  ) l
), gone AS (
  DELETE FROM {s}.lease l USING hit h
  WHERE l.ctid = h.at AND l.fence = h.fence AND NOT l.noted AND (NOT $3 OR (SELECT count(*) FROM hit) = cardinality($1))
  RETURNING l.id, l.fence
), forgotten AS (
  {forget}
)
SELECT id, fence FROM gone
WHERE (SELECT CASE WHEN NOT $3 OR count(*) IN (0, cardinality($1)) THEN true ELSE {s}.lease_changed() END FROM gone)
