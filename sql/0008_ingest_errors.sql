-- Dead letters: what was not stored, why, and where it lies on the log.
CREATE TABLE public.ingest_errors (
  id            bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  tenant_id     text,                          -- null where it could not be read
  device_id     text,
  topic         text NOT NULL,                 -- the MQTT topic that the device used, else the log's
  payload       bytea NOT NULL,                -- the device's bytes, at most 64 KiB of them
  payload_size  integer NOT NULL,              -- how many there were
  truncated     boolean NOT NULL DEFAULT false,
  reason        text NOT NULL,
  detail        text NOT NULL,
  attempts      integer NOT NULL,
  ts            timestamptz NOT NULL DEFAULT now(),
  log_topic     text NOT NULL,
  log_partition integer NOT NULL,
  log_offset    bigint NOT NULL,
  item          integer NOT NULL,              -- index of the point within its message; -1: the whole record
  cluster_id    text,                          -- of the log that the offset belongs to
  UNIQUE (log_topic, log_partition, log_offset, item)
);
CREATE INDEX ingest_errors_by_time ON public.ingest_errors (ts);
CREATE INDEX ingest_errors_of_tenant ON public.ingest_errors (tenant_id, ts);

ALTER TABLE public.ingest_errors ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant   ON public.ingest_errors FOR SELECT USING (public.tenant_visible(tenant_id));
CREATE POLICY writer   ON public.ingest_errors TO twinstream_writer USING (true);
-- Letters of no tenant are for operators alone.
CREATE POLICY operator ON public.ingest_errors FOR SELECT TO twinstream_operator
  USING (tenant_id IS NULL AND COALESCE(current_setting('app.tenant_id', true), '') = '');
GRANT SELECT ON public.ingest_errors TO twinstream_reader, twinstream_operator;
GRANT SELECT, INSERT, UPDATE, DELETE ON public.ingest_errors TO twinstream_writer;
