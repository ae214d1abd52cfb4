-- Index: those of the function, see migrations/0002_functions.sql.
-- As text and JSON, which every driver carries without knowing of the types in between.
SELECT to_json({s}.insert_tasks($1::text::jsonb))::text AS answer{tell}
