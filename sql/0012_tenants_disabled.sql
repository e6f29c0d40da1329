-- A tenant that is disabled: its messages go to the dead letters as unknown_tenant, its users do not get in; its rows stay.
ALTER TABLE public.tenants ADD COLUMN disabled_at timestamptz;  -- null: not disabled

-- The gateway asks for one tenant at a time, and reads nothing else of them. A tenant that nobody has made is not disabled.
CREATE FUNCTION public.tenant_disabled(wanted text) RETURNS boolean
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog
AS $$
  SELECT EXISTS (SELECT FROM public.tenants t WHERE t.tenant_id = wanted AND t.disabled_at IS NOT NULL)
$$;
REVOKE ALL ON FUNCTION public.tenant_disabled(text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION public.tenant_disabled(text) TO twinstream_gateway;

CREATE OR REPLACE FUNCTION public.auth_lookup(wanted text)
RETURNS TABLE (username text, tenant_id text, role text, password_hash text, disabled boolean)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog
AS $$
  SELECT u.username, u.tenant_id, u.role, u.password_hash, u.disabled OR public.tenant_disabled(u.tenant_id)
  FROM public.users u WHERE u.username = wanted
$$;
