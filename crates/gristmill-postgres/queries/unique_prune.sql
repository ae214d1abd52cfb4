-- Index: the primary key; those of living and has_key.
-- Forgets those of the keys behind ($2, $3), $4 at most, that nobody has any more; those that somebody has in hand are left. Says how far it came, if that was not to the
-- end, and how many were forgotten. Most last until their tasks have ended, and are asked for together.
WITH part AS MATERIALIZED (
  SELECT k.*, k AS held FROM {s}.unique_key k WHERE (kind, key) > ($2, $3) ORDER BY kind, key LIMIT $4
), had AS MATERIALIZED (
  SELECT {s}.living(array_agg(task)) AS by FROM part WHERE until IS NULL AND lasts = 0
), gone AS (
  DELETE FROM {s}.unique_key WHERE ctid = ANY (ARRAY(
    SELECT l.at FROM part p CROSS JOIN LATERAL (
      SELECT u.ctid AS at FROM {s}.unique_key u WHERE u.kind = p.kind AND u.key = p.key AND u.task = p.task OFFSET 0 FOR UPDATE SKIP LOCKED
    ) l
    WHERE NOT CASE WHEN p.until IS NULL AND p.lasts = 0 THEN p.task = ANY ((SELECT by FROM had)::uuid[]) ELSE {s}.has_key(p.held, {now}) END
  ))
  RETURNING 1
)
SELECT (SELECT count(*) FROM part) = $4, (SELECT kind FROM part ORDER BY kind DESC, key DESC LIMIT 1),
       (SELECT key FROM part ORDER BY kind DESC, key DESC LIMIT 1), (SELECT count(*) FROM gone)
