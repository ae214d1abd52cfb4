-- Index: the primary key: one step a pair, whatever is parked.
SELECT queue, kind FROM gristmill_parked WHERE (queue, kind) > (?1, ?2) ORDER BY queue, kind LIMIT 1
