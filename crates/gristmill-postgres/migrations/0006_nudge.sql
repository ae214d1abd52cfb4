-- Wakes idle workers as soon as the caller's transaction is committed, instead of within some 40 milliseconds. It has its price:
-- all notifying commits of a database wait for one another.
CREATE FUNCTION {s}.nudge() RETURNS void LANGUAGE sql VOLATILE SET search_path = pg_catalog, pg_temp AS $gristmill$
  SELECT pg_notify('{channel}', '00000000rs')
$gristmill$;

REVOKE ALL ON FUNCTION {s}.nudge() FROM PUBLIC;
