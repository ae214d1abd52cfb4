-- Index: the primary key, in its order. The last value, which none has, leads past all of the last place.
SELECT queue, kind, priority FROM gristmill_parked
  WHERE (queue, kind, priority, seq) > (?1, ?2, ?3, 9223372036854775807) ORDER BY queue, kind, priority LIMIT 1
