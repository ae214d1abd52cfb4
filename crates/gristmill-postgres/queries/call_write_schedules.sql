-- Index: the primary key of schedule; see migrations/0007_schedules.sql.
SELECT {s}.write_schedules($1::text::jsonb, $2::text::jsonb, $3::text::bigint)::text AS answer
