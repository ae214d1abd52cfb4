-- Index: none: one row.
UPDATE gristmill_label_gap SET below = ?1
