-- Index: none: the server's own state. Who holds locks on our tables, those first whose transactions are the oldest.
SELECT a.pid, coalesce(a.usename::text, ''), coalesce(a.application_name, ''), coalesce(a.state, ''),
       coalesce(floor(extract(epoch FROM clock_timestamp() - a.xact_start))::bigint, 0), coalesce(left(a.query, 100), '')
FROM pg_stat_activity a
WHERE a.pid <> pg_backend_pid() AND a.pid IN (
  SELECT l.pid FROM pg_locks l JOIN pg_class c ON c.oid = l.relation
  WHERE l.granted AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
    AND c.relnamespace = (SELECT oid FROM pg_namespace WHERE nspname = $1)
)
ORDER BY a.xact_start LIMIT 3
