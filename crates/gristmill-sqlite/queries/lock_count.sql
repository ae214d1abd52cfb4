-- Index: gristmill_lock_lease. How many an attempt holds.
SELECT count(*) FROM gristmill_lock WHERE lease = ?1 AND mark = ?2
