-- What the explanation of one reading needs beside the tenant's own tables.

-- How far each partition is stored, which tells what is under way from what is missing. It belongs to no tenant and names none.
CREATE POLICY reader ON public.stream_offsets FOR SELECT TO twinstream_reader USING (true);
GRANT SELECT (topic, partition, next_offset) ON public.stream_offsets TO twinstream_reader;

-- When a reading's transaction was committed, where the server keeps that (track_commit_timestamp): nothing is stored with the
-- row for it. Null where it is not kept, no more, or not for rows of a columnstore; and for another tenant's sensor.
CREATE FUNCTION public.reading_stored_at(sensor integer, at timestamptz) RETURNS timestamptz
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  writer xid;
BEGIN
  IF current_setting('track_commit_timestamp') <> 'on' OR NOT EXISTS (
    SELECT FROM public.sensors s WHERE s.id = sensor AND s.tenant_id = current_setting('app.tenant_id', true)
  ) THEN
    RETURN NULL;
  END IF;
  SELECT d.xmin INTO writer FROM store.telemetry_data d WHERE d.sensor_id = sensor AND d.time = at LIMIT 1;
  RETURN pg_xact_commit_timestamp(writer);
EXCEPTION
  -- A columnstore has no transaction of a row; of one too long ago the server knows nothing.
  WHEN feature_not_supported OR invalid_parameter_value OR internal_error THEN RETURN NULL;
END
$$;
REVOKE ALL ON FUNCTION public.reading_stored_at(integer, timestamptz) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION public.reading_stored_at(integer, timestamptz) TO twinstream_reader, twinstream_operator;
