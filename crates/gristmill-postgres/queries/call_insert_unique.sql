-- Index: those of the function, see additions/0017_unique.sql.
-- As call_insert_tasks.sql, for tasks of which some have keys of their own.
SELECT {s}.insert_unique($1::text::jsonb)::text AS answer{tell}
