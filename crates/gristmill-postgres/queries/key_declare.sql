-- Index: the primary key. The rows are locked.
UPDATE {s}.key k SET declared = x.declared, said_by = x.said_by
FROM unnest($1::text[], $2::integer[], $3::bigint[]) AS x(key, declared, said_by) WHERE k.key = x.key
