-- Index: the primary key. In the order of the ids, as every statement that takes several leases.
UPDATE {s}.lease SET cancel = true
WHERE ctid = ANY (ARRAY(SELECT ctid FROM {s}.lease WHERE id = ANY($1) ORDER BY id FOR UPDATE))
RETURNING id
