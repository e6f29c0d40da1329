-- What happened at a device: start-up, configuration change, alarm. Unique by device, time and payload.
CREATE TABLE public.events (
  equipment_id integer NOT NULL,
  time         timestamptz NOT NULL,
  hash         text NOT NULL,  -- SHA-256 of the payload
  tenant_id    text NOT NULL,
  device_id    text NOT NULL,
  payload      text NOT NULL,  -- JSON as the device wrote it; text, so that no depth or escape of it can be refused
  received_at  timestamptz NOT NULL,
  PRIMARY KEY (equipment_id, time, hash)
);
CREATE INDEX events_of_tenant ON public.events (tenant_id, time);

ALTER TABLE public.events ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON public.events FOR SELECT USING (public.tenant_visible(tenant_id));
CREATE POLICY writer ON public.events TO twinstream_writer USING (true);
GRANT SELECT ON public.events TO twinstream_reader, twinstream_operator;
GRANT SELECT, INSERT ON public.events TO twinstream_writer;
