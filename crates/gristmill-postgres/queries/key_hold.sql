-- Index: the primary key.
-- Locks keys, and makes those that are not known yet. What others have locked is left to them.
WITH held AS MATERIALIZED (
  SELECT k.key, k.declared, k.said_by, k.set_to FROM (SELECT * FROM unnest($1::text[]) AS x(key) ORDER BY key) x
  CROSS JOIN LATERAL (SELECT * FROM {s}.key k WHERE k.key = x.key FOR UPDATE SKIP LOCKED) k
), made AS (
  INSERT INTO {s}.key(key)
  SELECT x.key FROM unnest($1::text[]) AS x(key) WHERE NOT EXISTS (SELECT FROM {s}.key k WHERE k.key = x.key) ORDER BY x.key
  ON CONFLICT (key) DO NOTHING
  RETURNING key
)
SELECT key, declared, said_by, set_to FROM held UNION ALL SELECT key, NULL, NULL, NULL FROM made
