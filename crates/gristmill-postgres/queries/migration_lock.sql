-- Index: none. One process at a time changes the tables.
SELECT pg_try_advisory_xact_lock($1)
