-- Index: none: one row a worker process, and leases are few.
-- A worker that still has leases is kept: they are found dead by its row.
DELETE FROM {s}.worker w WHERE expires_at <= {now} - $2 AND NOT EXISTS (SELECT FROM {s}.lease l WHERE l.worker = w.key)
