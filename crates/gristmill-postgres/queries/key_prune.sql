-- Index: the primary keys; standby_line; reads at most $2 rows.
-- Forgets those behind $1 of which nothing is left to say, and says how far it came; null if that was to the end.
WITH part AS MATERIALIZED (
  SELECT key, set_to FROM {s}.key WHERE key > $1 ORDER BY key LIMIT $2
), idle AS MATERIALIZED (
  SELECT l.key FROM part p CROSS JOIN LATERAL (SELECT key FROM {s}.key k WHERE k.key = p.key AND k.set_to IS NULL FOR UPDATE SKIP LOCKED) l
  WHERE NOT EXISTS (SELECT FROM {s}.slot s WHERE s.key = l.key) AND NOT EXISTS (SELECT FROM {s}.standby b WHERE b.key = l.key)
), gone AS (
  DELETE FROM {s}.key WHERE key = ANY (ARRAY(SELECT key FROM idle))
)
SELECT CASE WHEN count(*) = $2 THEN max(key) END FROM part
