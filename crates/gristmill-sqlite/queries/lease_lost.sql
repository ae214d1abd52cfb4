-- Index: none: leases are few, as workers hold only what they run soon.
SELECT seq, mark FROM gristmill_lease
  WHERE worker NOT IN (SELECT key FROM gristmill_worker WHERE expires_at > ?1) ORDER BY seq LIMIT ?2
