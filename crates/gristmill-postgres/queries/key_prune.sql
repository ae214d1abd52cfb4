-- Index: the primary keys; standby_line; begun_key; reads at most $3 rows.
-- Forgets those behind $2 of which nothing is left to say, and says how far it came; null if that was to the end. What has begun of a rate and nobody has
-- gathered yet, no rate counts after a day.
WITH part AS MATERIALIZED (
  SELECT key FROM {s}.key WHERE key > $2 ORDER BY key LIMIT $3
), idle AS MATERIALIZED (
  SELECT l.key FROM part p CROSS JOIN LATERAL (
    SELECT key, away FROM {s}.key k
    WHERE k.key = p.key AND CASE WHEN starts_with(k.key, 'rate:') THEN k.set_pace IS NULL ELSE k.set_to IS NULL END AND coalesce(k.spent_until, 0) <= {now}
    FOR UPDATE SKIP LOCKED
  ) l
  WHERE NOT EXISTS (SELECT FROM {s}.slot s WHERE s.key = l.key) AND NOT EXISTS (SELECT FROM {s}.standby b WHERE b.key = l.key)
    -- Or the next of its tasks would go to wait where one of them still does.
    AND NOT EXISTS (SELECT FROM {s}.standby b WHERE b.task = l.away)
    AND NOT EXISTS (SELECT FROM {s}.begun b WHERE b.key = l.key AND b.at > {now} - 86400000)
), gone AS (
  DELETE FROM {s}.key WHERE key = ANY (ARRAY(SELECT key FROM idle))
), over AS (
  DELETE FROM {s}.begun WHERE key = ANY (ARRAY(SELECT key FROM idle)) AND at <= {now} - 86400000
)
SELECT CASE WHEN count(*) = $3 THEN max(key) END FROM part
