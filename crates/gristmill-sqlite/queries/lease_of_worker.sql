-- Index: none: leases are few, as workers hold only what they run soon.
SELECT seq, mark FROM gristmill_lease WHERE worker = ?1 ORDER BY seq
