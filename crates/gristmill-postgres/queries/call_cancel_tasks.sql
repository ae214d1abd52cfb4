-- Index: those of the function, see additions/0002_doors.sql.
-- As text and JSON, which every driver carries without knowing of the types in between.
SELECT to_json({s}.cancel_tasks($1::text::uuid[]))::text AS answer
