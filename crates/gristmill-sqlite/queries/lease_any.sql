-- Index: none: leases are few, as workers hold only what they run soon.
SELECT EXISTS (SELECT 1 FROM gristmill_lease WHERE queue = ?1)
