-- Index: the primary key: one step a pair, whatever is parked. The third value, which none has, leads past all of the last pair.
SELECT queue, kind FROM gristmill_parked
  WHERE (queue, kind, priority) > (?1, ?2, 9223372036854775807) ORDER BY queue, kind LIMIT 1
