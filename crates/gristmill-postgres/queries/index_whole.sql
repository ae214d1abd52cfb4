-- Index: none: the catalog. Whether the index $1 is there and valid, for a table as a whole.
SELECT i.indisvalid FROM pg_index i WHERE i.indexrelid = to_regclass('{l}.' || quote_ident($1))
