-- Devices that are registered with an adapter, which every processor follows. It looks every few seconds, and there may be
-- 100,000 of them: so it reads one number, and the devices again only when that has moved.
CREATE INDEX equipments_with_adapter ON public.equipments (adapter, tenant_id, equip_uuid) WHERE adapter IS NOT NULL;

CREATE TABLE store.adapter_changes (
  single  boolean PRIMARY KEY DEFAULT true CHECK (single),
  changes bigint NOT NULL DEFAULT 0
);
INSERT INTO store.adapter_changes DEFAULT VALUES;
GRANT SELECT ON store.adapter_changes TO twinstream_writer;

-- By triggers, so that a change in psql counts too. A flush names no such column, and a device made on first sight has no
-- adapter: neither pays for this.
CREATE FUNCTION store.note_adapter_change() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog
AS $$
BEGIN
  UPDATE store.adapter_changes SET changes = changes + 1;
  RETURN NULL;
END
$$;
CREATE TRIGGER adapter_changed AFTER UPDATE OF adapter ON public.equipments
  FOR EACH STATEMENT EXECUTE FUNCTION store.note_adapter_change();
CREATE TRIGGER adapter_given AFTER INSERT ON public.equipments
  FOR EACH ROW WHEN (NEW.adapter IS NOT NULL) EXECUTE FUNCTION store.note_adapter_change();
CREATE TRIGGER adapter_gone AFTER DELETE ON public.equipments
  FOR EACH ROW WHEN (OLD.adapter IS NOT NULL) EXECUTE FUNCTION store.note_adapter_change();

-- The gateway registers a device of its user's tenant, also one that was not heard of yet.
GRANT SELECT (tenant_id) ON public.tenants TO twinstream_gateway;
GRANT SELECT (tenant_id, equip_uuid, adapter), INSERT (tenant_id, equip_uuid, topics, adapter, log_partition), UPDATE (adapter)
  ON public.equipments TO twinstream_gateway;
CREATE POLICY gateway ON public.equipments TO twinstream_gateway
  USING (tenant_id = pg_catalog.current_setting('app.tenant_id', true));

-- What the device says it runs, by its newest message that says so: to group dead letters, and to explain a difference.
ALTER TABLE public.equipments ADD COLUMN firmware text;
