-- Index: none.
SELECT to_regclass('{l}.migration') IS NOT NULL,
       EXISTS (SELECT FROM pg_class WHERE relnamespace = (SELECT oid FROM pg_namespace WHERE nspname = $1))
