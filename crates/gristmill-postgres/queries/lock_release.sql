-- Index: the primary keys of lock and lease.
-- The row stays for an hour, for the order of the tokens: see lock_take.sql.
UPDATE {s}.lock SET task = NULL, fence = NULL
WHERE name = $1 AND task = $2 AND fence = $3 AND EXISTS (SELECT FROM {s}.lease l WHERE l.id = $2 AND l.fence = $3 OFFSET 0)
