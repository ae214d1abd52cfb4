-- Index: the primary key of schedule; see migrations/0007_schedules.sql.
SELECT {s}.schedules_for_edit($1::text::jsonb, $2::text::bigint)::text AS answer
