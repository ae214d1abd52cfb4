-- Index: none for finding them, as leases are few.
SELECT id, fence FROM {s}.lease WHERE worker = $1 ORDER BY id FOR UPDATE
