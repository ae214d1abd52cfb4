-- Index: none: the catalog, with the server's own estimates. How many days have partitions, how many tasks are in none of them,
-- and whether tomorrow has its own.
SELECT (SELECT count(*) FROM {s}.days()),
       (SELECT greatest(reltuples, 0)::bigint FROM pg_class WHERE oid = to_regclass('{l}.task_rest')),
       to_regclass({s}.day_table('task', {now} / 86400000 + 1)) IS NOT NULL
