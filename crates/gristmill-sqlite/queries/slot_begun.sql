-- Index: the primary keys of slot and lease.
-- What is taken of a rate by attempts that have begun is taken from its row into what is spent.
DELETE FROM gristmill_slot WHERE key = ?1 AND EXISTS (SELECT 1 FROM gristmill_lease l WHERE l.seq = task)
RETURNING cost, (SELECT claimed_at FROM gristmill_lease l WHERE l.seq = task)
