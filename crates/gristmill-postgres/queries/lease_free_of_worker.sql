-- Index: none for finding them, as leases are few.
-- What somebody else has in hand is left to a sweep, which finds that its worker is gone.
SELECT id FROM {s}.lease WHERE worker = $1 ORDER BY id FOR UPDATE SKIP LOCKED
