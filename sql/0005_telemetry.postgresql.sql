-- Raw rows and their aggregates on a PostgreSQL without TimescaleDB: the same names and columns, day partitions made as they
-- are needed, aggregates computed when they are asked for.
CREATE TABLE store.telemetry_data (
  time       timestamptz NOT NULL,
  sensor_id  integer NOT NULL,
  value      double precision,  -- numbers; booleans as 0 and 1
  text_value text,
  UNIQUE (sensor_id, time)
) PARTITION BY RANGE (time);

-- Makes the partitions of these UTC days. A partition is made apart and then attached, because attaching lets flushes go on
-- where CREATE … PARTITION OF would lock them out. Runs as the owner: the writer may not change tables.
CREATE FUNCTION store.ensure_partitions(days date[]) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp SET timezone = 'UTC'
AS $$
DECLARE
  day date;
  name text;
BEGIN
  PERFORM pg_advisory_xact_lock(hashtext('twinstream.partitions'));
  FOREACH day IN ARRAY days LOOP
    name := 'telemetry_data_' || to_char(day, 'YYYYMMDD');
    CONTINUE WHEN to_regclass('store.' || name) IS NOT NULL;
    EXECUTE format('CREATE TABLE store.%I (LIKE store.telemetry_data INCLUDING CONSTRAINTS)', name);
    EXECUTE format('ALTER TABLE store.telemetry_data ATTACH PARTITION store.%I FOR VALUES FROM (%L) TO (%L)',
                   name, day::timestamptz, (day + 1)::timestamptz);
  END LOOP;
END
$$;
REVOKE ALL ON FUNCTION store.ensure_partitions(date[]) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION store.ensure_partitions(date[]) TO twinstream_writer;

CREATE VIEW store.telemetry_hourly AS
SELECT date_trunc('hour', time, 'UTC') AS bucket,
       sensor_id,
       avg(value) AS avg_value,
       max(value) AS max_value,
       min(value) AS min_value,
       count(*) AS sample_count,
       stddev(value) AS stddev_value,
       percentile_cont(0.5) WITHIN GROUP (ORDER BY value) AS median_value,
       percentile_cont(0.95) WITHIN GROUP (ORDER BY value) AS p95_value,
       percentile_cont(0.99) WITHIN GROUP (ORDER BY value) AS p99_value
FROM store.telemetry_data
GROUP BY 1, 2;

CREATE VIEW store.telemetry_daily AS
SELECT date_trunc('day', time, 'UTC') AS bucket,
       sensor_id,
       avg(value) AS avg_value,
       max(value) AS max_value,
       min(value) AS min_value,
       count(*) AS sample_count,
       stddev(value) AS stddev_value,
       percentile_cont(0.5) WITHIN GROUP (ORDER BY value) AS median_value,
       percentile_cont(0.95) WITHIN GROUP (ORDER BY value) AS p95_value,
       percentile_cont(0.99) WITHIN GROUP (ORDER BY value) AS p99_value
FROM store.telemetry_data
GROUP BY 1, 2;

GRANT SELECT, INSERT ON store.telemetry_data TO twinstream_writer;
GRANT SELECT ON store.telemetry_hourly, store.telemetry_daily TO twinstream_writer;

INSERT INTO store.settings (engine) VALUES ('postgresql');
