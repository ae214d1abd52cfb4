-- Index: the primary keys, from one key to the next; reads at most ?2 keys.
-- The keys behind ?1 that somebody waits for, and whether they have room; those with a rate may have, whatever was written of when.
WITH RECURSIVE line(key, n) AS (
  SELECT (SELECT key FROM gristmill_standby WHERE key > ?1 ORDER BY key LIMIT 1), 1
  UNION ALL
  SELECT (SELECT key FROM gristmill_standby WHERE key > line.key ORDER BY key LIMIT 1), n + 1
  FROM line WHERE line.key IS NOT NULL AND n < ?2
)
-- Of a fair queue, those behind one that waits in another's line have no room.
SELECT l.key, l.key >= 'rate:' AND l.key < 'rate;' OR NOT EXISTS (SELECT 1 FROM gristmill_standby b WHERE b.task = k.away AND b.key <> l.key) AND coalesce(k.set_to, k.declared, 4294967295)
                > coalesce((SELECT sum(s.cost) FROM gristmill_slot s WHERE s.key = l.key), 0)
FROM line l LEFT JOIN gristmill_key k ON k.key = l.key
WHERE l.key IS NOT NULL
