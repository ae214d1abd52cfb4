-- Index: see additions/0010_thin.sql.
SELECT {s}.thin_begin({now})
