-- Index: the primary key.
-- Tasks ($1) that were let in, and went back to wait, do so whatever their rules say of those for which there is no slot. No key holds an unescaped quote.
UPDATE {s}.standby SET needs = regexp_replace(needs, '"on_excess": ?"[a-z_]+"', '"on_excess":"wait"', 'g') WHERE task = ANY($1) AND strpos(needs, '"on_excess"') > 0
