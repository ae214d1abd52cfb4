-- Index: the primary key.
SELECT EXISTS (SELECT FROM {s}.touched)
