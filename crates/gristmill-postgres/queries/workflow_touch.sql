-- Index: the primary key.
-- They were looked at, and this member of each can still end.
UPDATE {s}.workflow w SET quiet_since = {now}, witness = coalesce(x.witness, w.witness)
FROM unnest($2::uuid[], $3::uuid[]) AS x(id, witness) WHERE w.id = x.id
