-- Dead letters by their cause, and what became of each: open → replaying → stored, or open again with why; or dropped.
ALTER TABLE public.ingest_errors
  ADD COLUMN fingerprint text NOT NULL DEFAULT '',  -- of reason, adapter, firmware and cause
  ADD COLUMN cause       text NOT NULL DEFAULT '',  -- the detail without what differs from message to message
  ADD COLUMN adapter     text,                      -- the schema that the payload names
  ADD COLUMN firmware    text,                      -- as the payload says
  ADD COLUMN state       text NOT NULL DEFAULT 'open' CHECK (state IN ('open', 'replaying', 'stored', 'dropped')),
  ADD COLUMN run         text,                      -- the replay that took it last
  ADD COLUMN moved_at    timestamptz;               -- when the state last moved

-- Letters from before have neither adapter nor firmware, and a cause that SQL can find.
UPDATE public.ingest_errors
SET cause = left(regexp_replace(regexp_replace(detail, '"[^"]*"', '…', 'g'), '[0-9]+', '…', 'g'), 200);
UPDATE public.ingest_errors SET fingerprint = left(md5(reason || ' ' || cause), 12);

CREATE INDEX ingest_errors_unsettled ON public.ingest_errors (log_topic, log_partition, log_offset)
  WHERE state IN ('open', 'replaying');
CREATE INDEX ingest_errors_of_run ON public.ingest_errors (run) WHERE run IS NOT NULL;
CREATE INDEX ingest_errors_by_cause ON public.ingest_errors (fingerprint, ts);

-- The gateway reads one tenant's letters and devices, and marks letters; what they hold it cannot change.
CREATE POLICY gateway ON public.ingest_errors FOR UPDATE TO twinstream_gateway
  USING (tenant_id = current_setting('app.tenant_id', true));
GRANT SELECT ON public.ingest_errors, public.equipments TO twinstream_gateway;
GRANT UPDATE (state, run, moved_at) ON public.ingest_errors TO twinstream_gateway;
