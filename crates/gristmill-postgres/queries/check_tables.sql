-- Index: none: the catalog. Tables whose autovacuum is off, and those that this role can't use. What is about to take a day's place is not
-- used yet.
SELECT c.relname::text,
       coalesce(c.reloptions @> ARRAY['autovacuum_enabled=false'] OR c.reloptions @> ARRAY['autovacuum_enabled=off'], false),
       NOT (has_table_privilege(c.oid, 'SELECT') AND (
         -- What only who migrates writes.
         c.relname IN ('migration', 'addition') OR has_table_privilege(c.oid, 'INSERT')
           AND has_table_privilege(c.oid, 'UPDATE') AND has_table_privilege(c.oid, 'DELETE')
       ))
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = $1 AND c.relkind IN ('r', 'p') AND NOT c.relispartition
  AND c.relname !~ '^(task|outcome|label)_[0-9]+_thin$' ORDER BY 1
