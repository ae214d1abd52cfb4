-- Index: those of the function, see additions/0012_reruns.sql.
-- As text and JSON, which every driver carries without knowing of the types in between.
SELECT to_json({s}.begin_workflow($1::text::jsonb, $2::text::bigint))::text AS answer{tell}
