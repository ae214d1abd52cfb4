-- Index: none: the catalog, with the server's own estimates. What lies in the default partitions, and how many days there are.
SELECT (SELECT count(*) FROM pg_inherits WHERE inhparent = to_regclass('{l}.task')) - 1,
       (SELECT greatest(reltuples, 0)::bigint FROM pg_class WHERE oid = to_regclass('{l}.task_rest'))
