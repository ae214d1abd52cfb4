-- Index: none: one row a worker process, and leases are few.
-- A worker that still has leases is kept: they are found dead by its row.
DELETE FROM gristmill_worker WHERE expires_at <= ?1 AND key NOT IN (SELECT worker FROM gristmill_lease)
