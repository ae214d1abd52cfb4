-- Index: the primary key, in its order.
SELECT queue, kind, priority FROM gristmill_parked
  WHERE (queue, kind, priority) > (?1, ?2, ?3) ORDER BY queue, kind, priority LIMIT 1
