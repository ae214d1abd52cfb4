-- Index: none for finding them, as leases are few; the primary key of worker.
-- Reads all leases, and asks of each worker once. The last column tells how many there are in all, those that somebody else has in hand too.
-- What has a flag that only newer versions know is left to them.
WITH held AS MATERIALIZED (
  SELECT worker, count(*) AS leases FROM {s}.lease WHERE flags & {unknown} = 0 GROUP BY worker
), dead AS MATERIALIZED (
  SELECT h.worker, h.leases FROM held h WHERE NOT EXISTS (SELECT FROM {s}.worker w WHERE w.key = h.worker AND NOT w.lost)
), lost AS MATERIALIZED (
  SELECT id, fence FROM {s}.lease
  WHERE (SELECT count(*) > 0 FROM dead) AND worker = ANY (ARRAY(SELECT worker FROM dead)) AND flags & {unknown} = 0
  ORDER BY seq LIMIT $1 FOR UPDATE SKIP LOCKED
)
SELECT l.id, l.fence, (SELECT coalesce(sum(leases), 0)::bigint FROM dead) FROM (VALUES (1)) AS one(row) LEFT JOIN lost l ON true
