import type pg from "pg";
import { createLedgerStore } from "../../src/adapters/timescale/ledger.js";
import { createTelemetryStore } from "../../src/adapters/timescale/telemetry-store.js";
import { address } from "../../src/domain/names.js";
import { type OpenDatabase, openDatabase } from "../support/database.js";
import {
  type Plant,
  type SeenAck,
  type SeenCommand,
  type StoreRig,
  type StoreSource,
} from "./telemetry-store.js";

/**
 * The tests of one suite share a database, each finding it empty: a database for each test took minutes on a busy machine.
 * The suite's last test drops it.
 */
export function onDatabase(extension: "auto" | "never"): StoreSource {
  let opened: Promise<OpenDatabase> | undefined;
  return {
    async use(work) {
      opened ??= openDatabase({ extension });
      const { url, admin } = await opened;
      await admin.query(EMPTY);
      const store = createTelemetryStore({
        url,
        name: "conformance",
        poolMin: 0,
        poolMax: 4,
      });
      const ledger = createLedgerStore({ url, connections: 2 });
      try {
        await work({
          store,
          ledger,
          plant: planting(admin),
          ...looking(admin),
        });
      } finally {
        await Promise.all([store.close(), ledger.close()]);
      }
    },
    async close() {
      await (await opened)?.drop();
    },
  };
}

const UNIQUE = "telemetry_data_sensor_id_time_key";
const EMPTY = `
  ALTER TABLE store.telemetry_data DROP CONSTRAINT IF EXISTS refused_above_100;
  TRUNCATE store.telemetry_data, stream_offsets, stream_gaps, equipments, sensors, commands, cmd_ack, ingest_errors, events;
  DO $$ BEGIN
    IF NOT EXISTS (SELECT FROM pg_constraint WHERE conname = '${UNIQUE}') THEN
      ALTER TABLE store.telemetry_data ADD CONSTRAINT ${UNIQUE} UNIQUE (sensor_id, time);
    END IF;
  END $$`;

function planting(admin: pg.Client): Plant {
  const ofSensor =
    "sensor_id IN (SELECT id FROM sensors WHERE sensor_uuid = $1)";
  return {
    async deleteRow(name) {
      await admin.query(`DELETE FROM store.telemetry_data WHERE ${ofSensor}`, [
        name,
      ]);
    },
    async changeValue(name, value) {
      await admin.query(
        `UPDATE store.telemetry_data SET value = $2 WHERE ${ofSensor}`,
        [name, value],
      );
    },
    async doubleRow(name) {
      await admin.query(
        `ALTER TABLE store.telemetry_data DROP CONSTRAINT ${UNIQUE}`,
      );
      await admin.query(
        `INSERT INTO store.telemetry_data SELECT * FROM store.telemetry_data WHERE ${ofSensor}`,
        [name],
      );
    },
    async deleteLetter(offset) {
      await admin.query("DELETE FROM ingest_errors WHERE log_offset = $1", [
        offset,
      ]);
    },
  };
}

function looking(
  admin: pg.Client,
): Omit<StoreRig, "store" | "ledger" | "plant"> {
  const all = async <T extends object>(sql: string) =>
    (await admin.query<T & pg.QueryResultRow>(sql)).rows as T[];
  return {
    rows: async () => {
      const rows = await all<{
        tenant_id: string;
        device_id: string;
        name: string;
        type_class: "num";
        us: string;
        value: number | null;
        text_value: string | null;
      }>(
        `SELECT e.tenant_id, e.equip_uuid AS device_id, s.sensor_uuid AS name, s.type_class,
                (extract(epoch FROM d.time) * 1000000)::bigint AS us, d.value, d.text_value
         FROM store.telemetry_data d JOIN sensors s ON s.id = d.sensor_id JOIN equipments e ON e.id = s.equipment_id
         ORDER BY 1, 2, 3, 5`,
      );
      return rows.map((row) => ({
        device: address(row.tenant_id, row.device_id),
        name: row.name,
        typeClass: row.type_class,
        timeUs: Number(row.us),
        value: row.value,
        text: row.text_value,
      }));
    },
    letters: async () => {
      const rows = await all<{
        log_offset: string;
        item: number;
        reason: string;
        device_id: string | null;
        payload: Buffer;
        attempts: number;
        state: string;
      }>(
        "SELECT log_offset, item, reason, device_id, payload, attempts, state FROM ingest_errors ORDER BY log_offset, item",
      );
      return rows.map((row) => ({
        offset: Number(row.log_offset),
        item: row.item,
        reason: row.reason,
        device: row.device_id,
        payload: row.payload.toString("latin1"),
        attempts: row.attempts,
        replayed: row.state === "stored",
      }));
    },
    commands: async () => {
      const rows = await all<{
        cmd_id: string;
        state: SeenCommand["state"];
        ok: boolean | null;
        err: string | null;
        history: { state: string }[];
      }>("SELECT cmd_id, state, ok, err, history FROM commands");
      return new Map(
        rows.map(({ cmd_id, history, ...row }): [string, SeenCommand] => [
          cmd_id,
          { ...row, history: history.map((step) => step.state) },
        ]),
      );
    },
    acks: async () => {
      const rows = await all<{
        cmd_id: string;
        device_id: string;
        ok: boolean;
        us: string;
        late: boolean;
        known: boolean;
      }>(
        "SELECT cmd_id, device_id, ok, (extract(epoch FROM ts_exec) * 1000000)::bigint AS us, late, known FROM cmd_ack",
      );
      return new Map(
        rows.map(({ cmd_id, device_id, us, ...row }): [string, SeenAck] => [
          cmd_id,
          { device: device_id, execUs: Number(us), ...row },
        ]),
      );
    },
    events: async () =>
      (await all<{ payload: string }>("SELECT payload FROM events")).map(
        (row) => row.payload,
      ),
    setAdapter: async (tenant, deviceId, adapter) => {
      await admin.query(
        "UPDATE equipments SET adapter = $3 WHERE tenant_id = $1 AND equip_uuid = $2",
        [tenant, deviceId, adapter],
      );
    },
    refuseAbove100: async () => {
      const [sensor] = await all<{ id: number }>(
        "SELECT id FROM sensors WHERE sensor_uuid = 'refused'",
      );
      await admin.query(
        `ALTER TABLE store.telemetry_data ADD CONSTRAINT refused_above_100 CHECK (sensor_id <> ${sensor!.id} OR value <= 100)`,
      );
    },
  };
}
