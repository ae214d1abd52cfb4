-- Index: the primary key of ready, one range for each priority; the primary keys of worker and queue.
-- The first half of a claim where so many days are kept that their bodies are looked for once the ids are known: claim_found.sql.
WITH {in_line}
SELECT h.at::text, h.id, false FROM alive LEFT JOIN head h ON true
