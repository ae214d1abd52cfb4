-- Index: none: one row.
SELECT below FROM {s}.label_gap
