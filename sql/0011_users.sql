-- Who may log in, and the sessions of those who have. The gateway sees a password's hash only through auth_lookup, which
-- answers one name at a time, and changes no user; users are made by whoever migrates.
CREATE TABLE public.users (
  username      text PRIMARY KEY CHECK (username ~ '^[A-Za-z0-9._@-]{1,64}$'),
  tenant_id     text NOT NULL,
  role          text NOT NULL CHECK (role IN ('admin', 'operator', 'viewer')),
  password_hash text NOT NULL,                  -- argon2id, in its own text form with salt and cost
  disabled      boolean NOT NULL DEFAULT false,
  created_at    timestamptz NOT NULL DEFAULT now(),
  changed_at    timestamptz NOT NULL DEFAULT now()
);

-- Apart from users, and for names that are no user's too: a log-in does the same work, and is locked out the same, whether
-- there is such a user or not. An attempt counts before its password is looked at, so many at once are no way around.
CREATE TABLE public.login_attempts (
  username     text PRIMARY KEY,
  failures     integer NOT NULL,
  locked_until timestamptz,
  refused      boolean NOT NULL DEFAULT false,  -- the latest attempt came while locked out
  last_at      timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX login_attempts_by_time ON public.login_attempts (last_at);

-- A family is one log-in and all refresh tokens that follow from it; its row is the lock under which they rotate.
CREATE TABLE public.refresh_families (
  family     bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  username   text NOT NULL REFERENCES public.users (username) ON DELETE CASCADE,
  created_at timestamptz NOT NULL DEFAULT now(),
  expires_at timestamptz NOT NULL,               -- of its newest token
  ended      text CHECK (ended IN ('logout', 'reuse'))
);
CREATE INDEX refresh_families_of_user ON public.refresh_families (username);
CREATE TABLE public.refresh_tokens (
  token_hash bytea PRIMARY KEY,                  -- SHA-256; the token itself is nowhere
  family     bigint NOT NULL REFERENCES public.refresh_families (family) ON DELETE CASCADE,
  expires_at timestamptz NOT NULL,
  spent_at   timestamptz
);
CREATE INDEX refresh_tokens_of_family ON public.refresh_tokens (family);

ALTER TABLE public.users            ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
ALTER TABLE public.login_attempts   ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
ALTER TABLE public.refresh_families ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
ALTER TABLE public.refresh_tokens   ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
-- Rows are for the gateway (a log-in knows no tenant yet) and for whoever migrates, who is a member of its role; which
-- columns and which statements, the grants say.
CREATE POLICY tenant  ON public.users            FOR SELECT USING (public.tenant_visible(tenant_id));
CREATE POLICY gateway ON public.users            TO twinstream_gateway USING (true);
CREATE POLICY gateway ON public.login_attempts   TO twinstream_gateway USING (true);
CREATE POLICY gateway ON public.refresh_families TO twinstream_gateway USING (true);
CREATE POLICY gateway ON public.refresh_tokens   TO twinstream_gateway USING (true);
GRANT SELECT (username, tenant_id, role, disabled, created_at, changed_at) ON public.users
  TO twinstream_gateway, twinstream_reader, twinstream_operator;
GRANT SELECT, INSERT, UPDATE, DELETE ON public.login_attempts, public.refresh_families, public.refresh_tokens
  TO twinstream_gateway;

-- A log-in knows no tenant yet, and no role of the application may read hashes at large.
CREATE FUNCTION public.auth_lookup(wanted text)
RETURNS TABLE (username text, tenant_id text, role text, password_hash text, disabled boolean)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog
AS $$
  SELECT u.username, u.tenant_id, u.role, u.password_hash, u.disabled
  FROM public.users u WHERE u.username = wanted
$$;
REVOKE ALL ON FUNCTION public.auth_lookup(text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION public.auth_lookup(text) TO twinstream_gateway;
