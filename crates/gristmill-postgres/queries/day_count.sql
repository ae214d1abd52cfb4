-- Index: none: the catalog.
SELECT count(*) FROM {s}.days()
