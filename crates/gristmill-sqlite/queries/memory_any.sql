-- Index: any; reads one row.
SELECT EXISTS (SELECT 1 FROM gristmill_memory)
