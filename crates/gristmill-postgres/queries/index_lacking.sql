-- Index: none: the catalog. The partitions of table $1, or the table itself where it has none, that have no part $2 of an index that
-- is of use; and whether one is there that is of none: its making was cut short.
SELECT c.relname::text, x.indexrelid IS NOT NULL
FROM (
  SELECT inhrelid AS oid FROM pg_inherits WHERE inhparent = to_regclass('{l}.' || quote_ident($1))
  UNION ALL
  SELECT oid FROM pg_class WHERE oid = to_regclass('{l}.' || quote_ident($1)) AND relkind = 'r'
) part
JOIN pg_class c ON c.oid = part.oid
LEFT JOIN pg_class i ON i.relnamespace = c.relnamespace AND i.relname = c.relname || '_' || $2
LEFT JOIN pg_index x ON x.indexrelid = i.oid
WHERE x.indisvalid IS NOT TRUE ORDER BY 1
