-- Index: none: the catalog. Whether the list of migrations is there, that of additions, and anything at all.
SELECT to_regclass('{l}.migration') IS NOT NULL, to_regclass('{l}.addition') IS NOT NULL,
       EXISTS (SELECT FROM pg_class WHERE relnamespace = (SELECT oid FROM pg_namespace WHERE nspname = $1))
