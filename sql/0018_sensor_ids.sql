-- The writer gives new devices' sensors ids of its own choosing, so that it need not read them back.
GRANT USAGE ON SEQUENCE public.sensors_id_seq TO twinstream_writer;
