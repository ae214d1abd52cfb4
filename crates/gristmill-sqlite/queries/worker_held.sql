-- Index: none: leases are few, as workers hold only what they run soon.
SELECT count(*) FROM gristmill_lease WHERE worker = ?1
