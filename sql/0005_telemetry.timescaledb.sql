-- Raw rows and their aggregates on TimescaleDB. Retention, refresh and columnstore policies are set by migrate from the
-- settings, each time it runs.
CREATE TABLE store.telemetry_data (
  time       timestamptz NOT NULL,
  sensor_id  integer NOT NULL,
  value      double precision,  -- numbers; booleans as 0 and 1
  text_value text,
  UNIQUE (sensor_id, time)
);
-- No index on time alone: chunks are cut by it, and every index costs the COPY.
SELECT public.create_hypertable('store.telemetry_data', public.by_range('time', interval '1 day'), create_default_indexes => false);
ALTER TABLE store.telemetry_data SET (
  timescaledb.enable_columnstore,
  timescaledb.segmentby = 'sensor_id',
  timescaledb.orderby = 'time'
);

-- sample_count counts every row, texts too, so that its sum is the number of readings.
CREATE MATERIALIZED VIEW store.telemetry_hourly
WITH (timescaledb.continuous, timescaledb.materialized_only = false) AS
SELECT public.time_bucket(interval '1 hour', time) AS bucket,
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
GROUP BY 1, 2
WITH NO DATA;

-- From the raw rows, since percentiles of percentiles are none.
CREATE MATERIALIZED VIEW store.telemetry_daily
WITH (timescaledb.continuous, timescaledb.materialized_only = false) AS
SELECT public.time_bucket(interval '1 day', time) AS bucket,
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
GROUP BY 1, 2
WITH NO DATA;

-- Hours that received rows too late for the refresh policies. Appended to by flushes, without a unique key, so that no
-- flush waits for another; read and removed by maintain.
CREATE TABLE store.late_buckets (
  id     bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  bucket timestamptz NOT NULL
);

GRANT SELECT, INSERT ON store.telemetry_data TO twinstream_writer;
GRANT SELECT ON store.telemetry_hourly, store.telemetry_daily TO twinstream_writer;
GRANT INSERT ON store.late_buckets TO twinstream_writer;

INSERT INTO store.settings (engine) VALUES ('timescaledb');
