-- Index: none: leases are few, as workers hold only what they run soon. Without those that have one of the flags ?3.
SELECT seq, mark FROM gristmill_lease
  WHERE worker NOT IN (SELECT key FROM gristmill_worker WHERE expires_at > ?1) AND flags & ?3 = 0 ORDER BY seq LIMIT ?2
