-- Index: the primary key.
-- A statement of its own, after the leases were taken: a note that was written while they were waited for is seen.
DELETE FROM {s}.live WHERE id = ANY($1) RETURNING id, logs, progress
