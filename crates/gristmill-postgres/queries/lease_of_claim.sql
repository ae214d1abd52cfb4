-- Index: none, as leases are few.
SELECT id FROM {s}.lease WHERE worker = $1 AND fence = $2
