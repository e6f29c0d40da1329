-- What tenants and people read of the telemetry. security_barrier: a reader's own function in a WHERE is not run over rows
-- that the view would hide.
CREATE VIEW public.telemetry_data WITH (security_barrier) AS
SELECT d.time, d.sensor_id, d.value, d.text_value
FROM store.telemetry_data d
JOIN public.sensors s ON s.id = d.sensor_id
WHERE public.tenant_visible(s.tenant_id);

CREATE VIEW public.ts_measure WITH (security_barrier) AS
SELECT d.time AS ts,
       s.tenant_id,
       e.equip_uuid AS device_id,
       s.sensor_uuid AS point_id,
       CASE WHEN s.type_class = 'num' THEN d.value END AS v_num,
       CASE WHEN s.type_class = 'bool' THEN d.value <> 0 END AS v_bool,
       d.text_value AS v_text,
       s.unit
FROM store.telemetry_data d
JOIN public.sensors s ON s.id = d.sensor_id
JOIN public.equipments e ON e.id = s.equipment_id
WHERE public.tenant_visible(s.tenant_id);

CREATE VIEW public.telemetry_hourly WITH (security_barrier) AS
SELECT a.bucket, s.equipment_id, a.sensor_id, a.avg_value, a.max_value, a.min_value, a.sample_count,
       a.stddev_value, a.median_value, a.p95_value, a.p99_value
FROM store.telemetry_hourly a
JOIN public.sensors s ON s.id = a.sensor_id
WHERE public.tenant_visible(s.tenant_id);

CREATE VIEW public.telemetry_daily WITH (security_barrier) AS
SELECT a.bucket, s.equipment_id, a.sensor_id, a.avg_value, a.max_value, a.min_value, a.sample_count,
       a.stddev_value, a.median_value, a.p95_value, a.p99_value
FROM store.telemetry_daily a
JOIN public.sensors s ON s.id = a.sensor_id
WHERE public.tenant_visible(s.tenant_id);

GRANT SELECT ON public.telemetry_data, public.ts_measure, public.telemetry_hourly, public.telemetry_daily
  TO twinstream_reader, twinstream_operator, twinstream_writer;
