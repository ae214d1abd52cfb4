-- Index: none: the schema is small. Which of the two lists are there.
SELECT EXISTS (SELECT 1 FROM sqlite_schema WHERE name = 'gristmill_migration'),
       EXISTS (SELECT 1 FROM sqlite_schema WHERE name = 'gristmill_addition')
