-- Index: the primary key.
UPDATE gristmill_revision SET last = last + 1 WHERE one = 1 RETURNING last
