-- What devices log in to the broker with: who has which user name since when. The password's hash is at the broker, which
-- checks it; one here could not be put back there (it takes a password, not a hash), and would only be another to steal.
CREATE TABLE public.device_credentials (
  username   text PRIMARY KEY,
  tenant_id  text NOT NULL,
  device_id  text NOT NULL,
  site       text,
  serial     integer NOT NULL,             -- never used again, so that a user name means one password
  state      text NOT NULL CHECK (state IN ('adding', 'active', 'offered', 'retiring', 'revoking', 'revoked')),
  created_at timestamptz NOT NULL DEFAULT now(),
  created_by text NOT NULL,
  expires_at timestamptz,                  -- when it should have been replaced; null: never
  ends_at    timestamptz,                  -- retiring: when it stops working; offered: the deadline of its acknowledgement
  hands_over boolean NOT NULL DEFAULT false,  -- the device knows the command rotate_credentials
  cmd_id     text,                         -- of the command that offered it
  ended_at   timestamptz,
  ended_by   text,
  UNIQUE (tenant_id, device_id, serial)
);
CREATE INDEX device_credentials_expiring ON public.device_credentials (expires_at) WHERE state = 'active';
CREATE INDEX device_credentials_open ON public.device_credentials (state)
  WHERE state IN ('adding', 'offered', 'retiring', 'revoking');

ALTER TABLE public.device_credentials ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant  ON public.device_credentials FOR SELECT USING (public.tenant_visible(tenant_id));
CREATE POLICY gateway ON public.device_credentials TO twinstream_gateway USING (true);
GRANT SELECT ON public.device_credentials TO twinstream_reader, twinstream_operator;
GRANT SELECT, INSERT, UPDATE ON public.device_credentials TO twinstream_gateway;
-- Whether the tenant is there, and whether the device has acknowledged what it was handed; by app.tenant_id.
GRANT SELECT ON public.tenants, public.cmd_ack TO twinstream_gateway;
