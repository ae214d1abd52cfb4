-- Index: those of the function, see additions/0017_unique.sql.
SELECT {s}.take_keys($1::text::jsonb, $2, $3)
