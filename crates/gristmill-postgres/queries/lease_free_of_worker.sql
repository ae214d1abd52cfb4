-- Index: none for finding them, as leases are few.
-- What somebody else has in hand is left to a sweep, which finds that its worker is lost; what has a flag that only newer versions know, to them.
SELECT id, fence FROM {s}.lease WHERE worker = $1 AND flags & {unknown} = 0 ORDER BY id FOR UPDATE SKIP LOCKED
