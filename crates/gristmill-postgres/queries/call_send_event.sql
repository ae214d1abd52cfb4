-- Index: those of the function, see additions/0014_durable.sql.
-- As text and JSON, which every driver carries without knowing of the types in between.
SELECT to_json({s}.send_event($1::text, $2::text, $3::text::bigint))::text AS answer{tell}
