-- Index: those of the function, see additions/0014_durable.sql.
-- The same with the time of a test's clock, for whoever may write the tables.
SELECT to_json({s}.keep_event($1::text, $2::text, $3::text::bigint, $4::text::bigint))::text AS answer{tell}
