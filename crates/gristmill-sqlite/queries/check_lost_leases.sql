-- Index: none: leases and workers are few.
SELECT count(*) FROM gristmill_lease
  WHERE worker NOT IN (SELECT key FROM gristmill_worker WHERE expires_at > ?1 AND lost = 0)
