-- Index: none. What may be written by others is that of later tables in general, if roles were made: not of this one.
DO $gristmill$
DECLARE
  who text;
BEGIN
  CREATE TABLE IF NOT EXISTS {s}.addition(
    number     bigint PRIMARY KEY,
    name       text   NOT NULL,
    checksum   text   NOT NULL,
    applied_at bigint NOT NULL
  );
  FOR who IN
    SELECT DISTINCT quote_ident(pg_get_userbyid(a.grantee)) FROM pg_class c, aclexplode(c.relacl) a
    WHERE c.oid = '{l}.addition'::regclass AND a.grantee NOT IN (0, c.relowner)
  LOOP
    EXECUTE 'REVOKE INSERT, UPDATE, DELETE ON {l}.addition FROM ' || who;
  END LOOP;
END
$gristmill$
