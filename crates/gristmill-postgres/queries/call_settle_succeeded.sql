-- Index: those of the function, see migrations/0002_functions.sql.
-- As text and JSON, which every driver carries without knowing of the types in between.
SELECT to_json({s}.settle_succeeded($1::text::uuid, $2::text::uuid, $3::text::bigint, $4::text, $5::text, $6::text,
                                    $7::text::jsonb))::text AS answer
