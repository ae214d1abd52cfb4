-- Index: the primary key. In the order of the ids, as every statement that takes several leases; by id as in lease_take.
UPDATE {s}.lease SET cancel = true
WHERE id = ANY (ARRAY(SELECT id FROM {s}.lease WHERE id = ANY($1) ORDER BY id FOR UPDATE))
RETURNING id
