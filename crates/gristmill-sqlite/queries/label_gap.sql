-- Index: none: one row.
SELECT below FROM gristmill_label_gap
