-- Index: the unique index on name. Names that many sessions make at once are made by one of them.
INSERT INTO {s}.kind(name, known) SELECT name, $2 FROM unnest($1::text[]) AS n(name) ORDER BY name
  ON CONFLICT (name) DO UPDATE SET known = true WHERE NOT kind.known AND excluded.known
