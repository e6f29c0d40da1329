-- Commands that take a slot, have a condition, are cancelled; and the idempotency keys under which they were given.
ALTER TABLE public.commands
  ADD COLUMN slot         text,                            -- `supersedes`: the latest of a device's slot is to be executed
  ADD COLUMN precondition json,                            -- {point, op, value}
  ADD COLUMN judged       boolean NOT NULL DEFAULT false,  -- it was found to hold, and the command may have been sent since
  DROP CONSTRAINT commands_state_check,
  ADD CONSTRAINT commands_state_check CHECK (state IN (
    'accepted', 'queued', 'sent', 'delivered', 'acked', 'failed', 'expired', 'rejected', 'canceled', 'superseded'));
CREATE INDEX commands_slot ON public.commands (tenant_id, device_id, slot)
  WHERE slot IS NOT NULL AND state IN ('accepted', 'queued', 'sent', 'delivered');

CREATE TABLE public.command_keys (
  tenant_id       text NOT NULL,
  device_id       text NOT NULL,
  idempotency_key text NOT NULL,
  cmd_id          text NOT NULL,
  body_hash       text NOT NULL,         -- SHA-256 of the request: the same key with another is refused
  created_at      timestamptz NOT NULL,  -- a key is free again after a day
  PRIMARY KEY (tenant_id, device_id, idempotency_key)
);
CREATE INDEX command_keys_age ON public.command_keys (created_at);

ALTER TABLE public.command_keys ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant  ON public.command_keys FOR SELECT USING (public.tenant_visible(tenant_id));
CREATE POLICY gateway ON public.command_keys TO twinstream_gateway USING (true);
GRANT SELECT ON public.command_keys TO twinstream_operator;
GRANT SELECT, INSERT, UPDATE, DELETE ON public.command_keys TO twinstream_gateway;
