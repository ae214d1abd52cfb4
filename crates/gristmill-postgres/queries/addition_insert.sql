-- Index: the primary key.
INSERT INTO {s}.addition(number, name, checksum, applied_at) VALUES ($2, $3, $4, {now})
