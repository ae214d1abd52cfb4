-- Index: the primary keys of slot and lease; begun_key.
-- What attempts have taken of rates ($1) that run, or are over, is taken from its rows. What somebody's end has in hand comes with that, and counts until then
-- among what is left, which has no time: by this statement, as another would see that end, and not what it has written here.
WITH held AS MATERIALIZED (
  SELECT s.at, s.key, s.cost, l.claimed_at FROM unnest($1::text[]) AS x(key)
  CROSS JOIN LATERAL (
    SELECT s.ctid AS at, s.key, s.cost, s.task FROM {s}.slot s
    WHERE s.key = x.key AND EXISTS (SELECT FROM {s}.lease l WHERE l.id = s.task) FOR UPDATE SKIP LOCKED
  ) s
  CROSS JOIN LATERAL (SELECT l.claimed_at FROM {s}.lease l WHERE l.id = s.task OFFSET 0) l
), gone AS (
  DELETE FROM {s}.slot WHERE ctid = ANY (ARRAY(SELECT at FROM held))
), told AS (
  DELETE FROM {s}.begun WHERE key = ANY ($1) RETURNING key, cost, at
)
SELECT key, claimed_at, cost::bigint FROM held UNION ALL SELECT key, at, cost FROM told
UNION ALL
SELECT x.key, NULL, coalesce((SELECT sum(s.cost) FROM {s}.slot s WHERE s.key = x.key), 0) - coalesce((SELECT sum(h.cost) FROM held h WHERE h.key = x.key), 0)
FROM unnest($1::text[]) AS x(key)
