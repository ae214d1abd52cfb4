-- Index: the primary key, in its order. The last value, which none has, leads past all of the last pair.
SELECT queue, priority FROM gristmill_ready
  WHERE (queue, priority, seq) > (?1, ?2, 9223372036854775807) ORDER BY queue, priority LIMIT 1
