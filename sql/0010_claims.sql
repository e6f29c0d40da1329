-- Uploads: each is an object in the store, a claim check on the log, and a row here that says what became of it.
CREATE TABLE public.claims (
  claim_id          text PRIMARY KEY,            -- ULID
  tenant_id         text NOT NULL,
  user_id           text NOT NULL,
  request_id        text NOT NULL,
  object_key        text NOT NULL UNIQUE,
  storage_type      text NOT NULL,
  state             text NOT NULL CHECK (state IN ('receiving', 'stored', 'processing', 'done', 'rejected')),
  idempotency_key   text,
  file_size         bigint NOT NULL DEFAULT 0,   -- as stored, gzipped
  original_size     bigint NOT NULL DEFAULT 0,   -- uncompressed
  sha256            text NOT NULL DEFAULT '',    -- of the stored bytes
  announced         boolean NOT NULL DEFAULT false,  -- the claim check is on the log
  next_equipment    integer NOT NULL DEFAULT 0,  -- the ordinal a worker goes on with
  equipments_total  integer,
  equipments_stored integer NOT NULL DEFAULT 0,
  equipments_failed integer NOT NULL DEFAULT 0,
  readings_stored   bigint NOT NULL DEFAULT 0,
  readings_duplicate bigint NOT NULL DEFAULT 0,
  readings_failed   bigint NOT NULL DEFAULT 0,
  errors            jsonb NOT NULL DEFAULT '[]', -- the first hundred: [{path, reason}]
  error_count       integer NOT NULL DEFAULT 0,  -- of all: the next one's item in ingest_errors
  log_partition     integer,                     -- place of its first claim check, where its dead letters are filed
  log_offset        bigint,
  received_at       timestamptz NOT NULL,
  finished_at       timestamptz,
  UNIQUE (tenant_id, idempotency_key)
);
CREATE INDEX claims_open ON public.claims (received_at) WHERE state IN ('receiving', 'stored', 'processing');
CREATE INDEX claims_of_tenant ON public.claims (tenant_id, claim_id DESC);

ALTER TABLE public.claims ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant  ON public.claims FOR SELECT USING (public.tenant_visible(tenant_id));
CREATE POLICY gateway ON public.claims TO twinstream_gateway USING (true);
CREATE POLICY writer  ON public.claims TO twinstream_writer USING (true);
GRANT SELECT ON public.claims TO twinstream_reader, twinstream_operator;
GRANT SELECT, INSERT, UPDATE, DELETE ON public.claims TO twinstream_gateway, twinstream_writer;
