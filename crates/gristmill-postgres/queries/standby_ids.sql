-- Index: standby_line, in its order.
SELECT task FROM {s}.standby WHERE key = $1 ORDER BY late, seq LIMIT $2
