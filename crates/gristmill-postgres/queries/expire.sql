-- Index: that on expires_at of each place, in its order, from $3 on.
-- Ends the wait of what was not started in time. The last column tells from where on the next look need look, as in promote.sql.
WITH late AS MATERIALIZED (
  SELECT ctid AS at FROM {s}.{place}
  WHERE expires_at >= (SELECT CASE WHEN $3 <= {now} THEN $3 ELSE 0 END) AND expires_at <= {now}
  ORDER BY expires_at LIMIT $2 FOR UPDATE SKIP LOCKED
), gone AS (
  DELETE FROM {s}.{place} WHERE ctid = ANY (ARRAY(SELECT at FROM late))
  RETURNING id, attempt, claim_no, crashes, flags, expires_at
)
SELECT g.id, g.attempt, g.claim_no, g.crashes, g.flags,
       (SELECT CASE WHEN count(*) < $2 THEN {now} - 20 ELSE max(expires_at) END FROM gone)
FROM (VALUES (1)) AS one(row) LEFT JOIN gone g ON true
