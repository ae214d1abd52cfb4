-- Index: the primary keys; that of standby and of waiting.
-- Locks keys, and makes those that are not known yet. What others have locked is left to them.
WITH held AS MATERIALIZED (
  SELECT k.* FROM (SELECT * FROM unnest($1::text[]) AS x(key) ORDER BY key) x
  CROSS JOIN LATERAL (SELECT * FROM {s}.key k WHERE k.key = x.key FOR UPDATE SKIP LOCKED) k
), made AS (
  INSERT INTO {s}.key(key, set_to)
  SELECT x.key, CASE WHEN starts_with(x.key, 'rate:') THEN 0 END FROM unnest($1::text[]) AS x(key) WHERE NOT EXISTS (SELECT FROM {s}.key k WHERE k.key = x.key) ORDER BY x.key
  ON CONFLICT (key) DO NOTHING
  RETURNING key
)
SELECT said_by, declared, pace, set_to, set_pace, spent, 0::bigint, look_at, key, turn,
       -- Who is in somebody's hand in an open transaction may be gone when that commits; the next of its key does not wait for it.
       away IS NOT NULL AND EXISTS (SELECT FROM {s}.standby b WHERE b.task = held.away AND b.key <> held.key)
         AND EXISTS (SELECT FROM {s}.waiting w WHERE w.id = held.away FOR KEY SHARE SKIP LOCKED)
FROM held
UNION ALL SELECT NULL, NULL, NULL, NULL, NULL, NULL, 0, NULL, key, NULL, false FROM made
