-- Index: the primary key, in its order.
SELECT number, spec, state, closed, members, succeeded, failed, cancelled, tolerance FROM {s}.step WHERE workflow = $1 ORDER BY number
