-- Index: none: one row a slot.
SELECT slot_name::text, coalesce(pg_size_pretty(pg_wal_lsn_diff(pg_current_wal_lsn(), restart_lsn)), '?')
FROM pg_replication_slots WHERE NOT active AND NOT pg_is_in_recovery() ORDER BY 1 LIMIT 5
