-- Index: ready_by_kind, a range for each type and priority, which indexes.rs builds where it is of use; the primary keys of worker and queue.
-- As find.sql; the last column tells of what somebody else was taking.
WITH {by_kind}
SELECT h.at::text, h.id, (SELECT count(*) FROM head) < (SELECT count(*) FROM line) FROM alive LEFT JOIN head h ON true
