-- Index: none: one row a connection. Others' are hidden from a role without pg_read_all_stats, and have no start then.
SELECT pid, floor(extract(epoch FROM clock_timestamp() - xact_start))::bigint, coalesce(usename::text, '?'),
       coalesce(nullif(application_name, ''), '?'), coalesce(state, '?')
FROM pg_stat_activity
WHERE xact_start < clock_timestamp() - interval '5 minutes' AND pid <> pg_backend_pid()
  AND (backend_xmin IS NOT NULL OR backend_xid IS NOT NULL)
UNION ALL
SELECT 0, floor(extract(epoch FROM clock_timestamp() - prepared))::bigint, owner::text, gid, 'prepared'
FROM pg_prepared_xacts WHERE prepared < clock_timestamp() - interval '5 minutes'
ORDER BY 2 DESC LIMIT 5
