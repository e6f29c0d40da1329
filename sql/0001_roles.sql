-- The four roles of the application. Roles belong to the server, not to one database: several databases share them, and
-- two migrations may make them at the same moment, so a role that is already there is no error.
DO $$
DECLARE
  wanted text;
BEGIN
  FOREACH wanted IN ARRAY ARRAY[
    'twinstream_writer',   -- processor and worker: every tenant's rows, reading and writing
    'twinstream_reader',   -- the gateway's queries: one tenant at a time, by app.tenant_id
    'twinstream_gateway',  -- log-in, tokens, claims: narrow grants
    'twinstream_operator'  -- people in psql: every tenant, reading
  ] LOOP
    IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = wanted) THEN
      BEGIN
        EXECUTE format('CREATE ROLE %I NOLOGIN', wanted);
      EXCEPTION WHEN duplicate_object OR unique_violation THEN
        NULL; -- another database's migration was quicker
      END;
    END IF;
  END LOOP;
END
$$;
