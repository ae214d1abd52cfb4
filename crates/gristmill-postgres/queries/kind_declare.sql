-- Index: the unique index on name. Looked at first: an insert that finds the name there has drawn a number all the same, and
-- every start of every program would burn one for each type, of which there are two billion.
WITH n AS MATERIALIZED (SELECT * FROM unnest($1::text[], $2::text[]) AS n(name, spec) WHERE {brief3})
INSERT INTO {s}.kind(name, spec, known) SELECT name, spec, true FROM n
  WHERE NOT EXISTS (SELECT FROM {s}.kind k WHERE k.name = n.name AND k.known AND k.spec IS NOT DISTINCT FROM n.spec) ORDER BY name
  ON CONFLICT (name) DO UPDATE SET spec = excluded.spec, known = true
  WHERE kind.spec IS DISTINCT FROM excluded.spec OR NOT kind.known
