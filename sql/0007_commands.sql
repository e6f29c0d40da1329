-- Every command's life, and what its device answered.
CREATE TABLE public.commands (
  cmd_id        text PRIMARY KEY,
  tenant_id     text NOT NULL,
  device_id     text NOT NULL,
  log_partition integer NOT NULL,
  op            text NOT NULL,
  params        json,                        -- json, not jsonb: kept as written, and any \u escape is allowed
  extra         json NOT NULL DEFAULT '{}',  -- further keys of the request, passed through to the device
  requested_by  text NOT NULL,
  queue         boolean NOT NULL,            -- whether it may wait for a device that is offline
  state         text NOT NULL CHECK (state IN ('accepted', 'queued', 'sent', 'delivered', 'acked', 'failed', 'expired')),
  ok            boolean,
  err           text,
  created_at    timestamptz NOT NULL,
  expires_at    timestamptz NOT NULL,
  updated_at    timestamptz NOT NULL DEFAULT now(),
  history       jsonb NOT NULL DEFAULT '[]'  -- [{state, at, evidence}], oldest first
);
CREATE INDEX commands_open ON public.commands (log_partition) WHERE state IN ('accepted', 'queued', 'sent', 'delivered');
CREATE INDEX commands_of_device ON public.commands (tenant_id, device_id, cmd_id DESC);

CREATE TABLE public.cmd_ack (
  tenant_id   text NOT NULL,
  device_id   text NOT NULL,
  cmd_id      text NOT NULL,
  ok          boolean NOT NULL,
  ts_exec     timestamptz NOT NULL,
  err         text,
  hash        text NOT NULL,         -- SHA-256 of the ack: of differing acks the smallest (ts_exec, hash) stands
  late        boolean NOT NULL,      -- the command had already ended
  known       boolean NOT NULL,      -- there was such a command
  received_at timestamptz NOT NULL,
  PRIMARY KEY (tenant_id, device_id, cmd_id)
);

ALTER TABLE public.commands ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
ALTER TABLE public.cmd_ack  ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON public.commands FOR SELECT USING (public.tenant_visible(tenant_id));
CREATE POLICY tenant ON public.cmd_ack  FOR SELECT USING (public.tenant_visible(tenant_id));
CREATE POLICY writer ON public.commands TO twinstream_writer USING (true);
CREATE POLICY writer ON public.cmd_ack  TO twinstream_writer USING (true);
GRANT SELECT ON public.commands, public.cmd_ack TO twinstream_reader, twinstream_operator;
GRANT SELECT, INSERT, UPDATE ON public.commands, public.cmd_ack TO twinstream_writer;
