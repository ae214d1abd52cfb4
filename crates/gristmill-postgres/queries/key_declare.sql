-- Index: the primary key. The rows are locked.
UPDATE {s}.key k SET declared = x.declared FROM unnest($1::text[], $2::integer[]) AS x(key, declared) WHERE k.key = x.key
