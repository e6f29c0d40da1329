-- Where each lane stands: how far a partition is stored, and by which claim. A flush moves next_offset only from the epoch
-- and offset that its process knows.
CREATE TABLE public.stream_offsets (
  topic            text NOT NULL,
  partition        integer NOT NULL,
  next_offset      bigint NOT NULL,  -- first offset not yet stored; -1: nothing was ever stored
  epoch            bigint NOT NULL,
  owner            text,
  cluster_id       text,             -- of the log that the offsets belong to
  last_record_time timestamptz,      -- log time of the record at next_offset - 1
  claimed_at       timestamptz NOT NULL DEFAULT now(),
  moved_at         timestamptz,
  PRIMARY KEY (topic, partition)
) WITH (fillfactor = 50);  -- moved with every flush: room for updates within the page

-- Records that the log's retention had taken before they were read.
CREATE TABLE public.stream_gaps (
  topic       text NOT NULL,
  partition   integer NOT NULL,
  from_offset bigint NOT NULL,
  to_offset   bigint NOT NULL,
  noted_at    timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (topic, partition, from_offset, to_offset)
);

-- Neither belongs to a tenant, so tenants' readers have no grant.
ALTER TABLE public.stream_offsets ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
ALTER TABLE public.stream_gaps    ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY writer   ON public.stream_offsets TO twinstream_writer USING (true);
CREATE POLICY writer   ON public.stream_gaps    TO twinstream_writer USING (true);
CREATE POLICY operator ON public.stream_offsets FOR SELECT TO twinstream_operator USING (true);
CREATE POLICY operator ON public.stream_gaps    FOR SELECT TO twinstream_operator USING (true);
GRANT SELECT, INSERT, UPDATE ON public.stream_offsets, public.stream_gaps TO twinstream_writer;
GRANT SELECT ON public.stream_offsets, public.stream_gaps TO twinstream_operator;
