-- Index: none: the schema is small.
SELECT count(*) FILTER (WHERE name LIKE 'gristmill\_%' ESCAPE '\'), count(*) FILTER (WHERE name NOT LIKE 'gristmill\_%' ESCAPE '\')
  FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite\_%' ESCAPE '\'
