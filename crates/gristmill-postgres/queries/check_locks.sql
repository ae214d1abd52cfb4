-- Index: none: the catalog. How many days have partitions, how many tables and indexes those are (a TOAST table with its index
-- among them), how many locks each connection adds to the room for all, and how many connections do.
WITH part AS (
  SELECT c.oid AS id, c.reltoastrelid <> 0 AS has_toast FROM pg_inherits JOIN pg_class c ON c.oid = inhrelid
  WHERE inhparent IN (to_regclass('{l}.task'), to_regclass('{l}.outcome'), to_regclass('{l}.label')))
SELECT (SELECT count(*) FROM {s}.days()),
       (SELECT count(*) + 2 * count(*) FILTER (WHERE has_toast) FROM part) + (SELECT count(*) FROM pg_index JOIN part ON indrelid = id),
       current_setting('max_locks_per_transaction')::bigint,
       current_setting('max_connections')::bigint + current_setting('max_prepared_transactions')::bigint
