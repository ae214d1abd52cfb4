-- Index: none: leases are few, as workers hold only what they run soon. Without those that have one of the flags ?2.
SELECT seq, mark FROM gristmill_lease
  WHERE worker NOT IN (SELECT key FROM gristmill_worker WHERE lost = 0) AND flags & ?2 = 0 ORDER BY seq LIMIT ?1
