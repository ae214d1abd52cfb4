-- Index: standby_line, from one key to the next; the primary keys of key, standby and waiting, and that of slot.
-- Among the keys behind $1 that somebody waits for, those that have room are touched once more: should a wake-up be lost, nobody else would look.
-- Says how far it came, if that was not to the end, and whether there were any.
WITH RECURSIVE line AS (
  (SELECT key, 1::bigint AS n FROM {s}.standby WHERE key > $1 ORDER BY key LIMIT 1)
  UNION ALL
  SELECT n.key, l.n + 1
  FROM line l CROSS JOIN LATERAL (SELECT key FROM {s}.standby b WHERE b.key > l.key ORDER BY key LIMIT 1) n WHERE l.n < $2
), free AS MATERIALIZED (
  SELECT l.key FROM line l LEFT JOIN {s}.key k ON k.key = l.key
  -- Of a rate, whatever was written of when: the clock may have been set, or somebody had the first of the line in hand.
  -- And those without, of which the first is not to wait as all others do: somebody may have had it in hand.
  WHERE starts_with(l.key, 'rate:')
    OR strpos((SELECT b.needs FROM {s}.standby b WHERE b.key = l.key ORDER BY b.late, b.seq LIMIT 1), '"on_excess"') > 0
    OR coalesce(k.set_to, k.declared, 2147483647) > (SELECT coalesce(sum(s.cost), 0) FROM {s}.slot s WHERE s.key = l.key)
    -- Of a fair queue, those behind one that waits in another's line have no room, unless somebody has it in hand.
    AND NOT (EXISTS (SELECT FROM {s}.standby b WHERE b.task = k.away AND b.key <> l.key)
             AND EXISTS (SELECT FROM {s}.waiting w WHERE w.id = k.away FOR KEY SHARE SKIP LOCKED))
), told AS (
  INSERT INTO {s}.touched(key) SELECT key FROM free
)
SELECT CASE WHEN count(*) = $2 THEN max(key) END, EXISTS (SELECT FROM free) FROM line
