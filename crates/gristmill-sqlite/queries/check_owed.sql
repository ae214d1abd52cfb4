-- Index: none: only the doctor asks, and an index would cost each end. Reads the ends, until ?1 are found.
SELECT count(*) FROM (SELECT 1 FROM gristmill_outcome WHERE owed <> 0 LIMIT ?1)
