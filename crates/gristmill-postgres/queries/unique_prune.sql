-- Index: the primary key; those of has_key.
-- Forgets those of the keys behind ($2, $3), $4 at most, that nobody has any more; those that somebody has in hand are left. Says how far it came, if that was not to the
-- end, and how many were forgotten.
WITH part AS MATERIALIZED (
  SELECT k.*, k AS held FROM {s}.unique_key k WHERE (kind, key) > ($2, $3) ORDER BY kind, key LIMIT $4
), gone AS (
  DELETE FROM {s}.unique_key WHERE ctid = ANY (ARRAY(
    SELECT l.at FROM part p CROSS JOIN LATERAL (
      SELECT u.ctid AS at FROM {s}.unique_key u WHERE u.kind = p.kind AND u.key = p.key AND u.task = p.task OFFSET 0 FOR UPDATE SKIP LOCKED
    ) l
    WHERE NOT {s}.has_key(p.held, {now})
  ))
  RETURNING 1
)
SELECT (SELECT count(*) FROM part) = $4, (SELECT kind FROM part ORDER BY kind DESC, key DESC LIMIT 1),
       (SELECT key FROM part ORDER BY kind DESC, key DESC LIMIT 1), (SELECT count(*) FROM gone)
