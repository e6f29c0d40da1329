-- Who sees what. TimescaleDB refuses row-level security on hypertables with continuous aggregates or a columnstore, so raw
-- rows and aggregates live in a schema that readers cannot enter, behind views that filter; plain tables have forced RLS.
CREATE SCHEMA IF NOT EXISTS store;
REVOKE ALL ON SCHEMA store FROM PUBLIC;
REVOKE CREATE ON SCHEMA public FROM PUBLIC;
GRANT USAGE ON SCHEMA store TO twinstream_writer;
GRANT USAGE ON SCHEMA public TO twinstream_writer, twinstream_reader, twinstream_gateway, twinstream_operator;

-- The one rule: a session with app.tenant_id set sees that tenant; with it unset nothing, but an operator (and a superuser,
-- who is a member of every role) everything. In a view current_user is who asks, not who owns the view.
CREATE FUNCTION public.tenant_visible(tenant text) RETURNS boolean
LANGUAGE sql STABLE PARALLEL SAFE
RETURN tenant = pg_catalog.current_setting('app.tenant_id', true)
    OR (COALESCE(pg_catalog.current_setting('app.tenant_id', true), '') = ''
        AND pg_catalog.pg_has_role(current_user, 'twinstream_operator', 'USAGE'));

-- What migrate was last told, for the processes that write.
CREATE TABLE store.settings (
  single             boolean PRIMARY KEY DEFAULT true CHECK (single),
  engine             text NOT NULL CHECK (engine IN ('timescaledb', 'postgresql')),
  raw_retention_days integer NOT NULL DEFAULT 0,   -- 0 keeps for ever
  raw_kept_from      timestamptz,                  -- rows before it may have been dropped, under whatever retention
  dlq_retention_days integer NOT NULL DEFAULT 14,  -- 0 keeps for ever
  note_late_after    interval NOT NULL DEFAULT '0' -- older rows may miss the refresh policies
);
GRANT SELECT ON store.settings TO twinstream_writer;
