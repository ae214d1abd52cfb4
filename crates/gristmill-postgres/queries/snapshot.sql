-- Index: none. What is committed, as far as it can be told apart from what is not: it differs after every commit that wrote.
SELECT pg_current_snapshot()::text
