-- Index: the unique index on name.
INSERT INTO {s}.kind(name, spec, known) SELECT name, spec, true FROM unnest($1::text[], $2::text[]) AS n(name, spec) ORDER BY name
  ON CONFLICT (name) DO UPDATE SET spec = excluded.spec, known = true
  WHERE kind.spec IS DISTINCT FROM excluded.spec OR NOT kind.known
