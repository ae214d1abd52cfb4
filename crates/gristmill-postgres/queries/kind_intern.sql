-- Index: the unique index on name. Names that many sessions make at once are made by one of them. Looked at first, as in kind_declare.
WITH n AS MATERIALIZED (SELECT name FROM unnest($1::text[]) AS n(name) WHERE {brief3})
INSERT INTO {s}.kind(name, known) SELECT name, $2 FROM n
  WHERE NOT EXISTS (SELECT FROM {s}.kind x WHERE x.name = n.name AND (x.known OR NOT $2)) ORDER BY name
  ON CONFLICT (name) DO UPDATE SET known = true WHERE NOT kind.known AND excluded.known
