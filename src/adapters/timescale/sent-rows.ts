/** What the database has of some devices' messages, for a comparison with what their sender knows. As whoever migrates. */
import { connectDatabase } from "./connect.js";
import { microsecondsOf } from "./times.js";

/** A device's readings of one instant. */
export interface StoredInstant {
  readonly deviceId: string;
  readonly timeUs: number;
  readonly points: readonly {
    readonly name: string;
    /** Numbers, and booleans as 0 or 1; null for text. */
    readonly value: number | null;
    readonly text: string | null;
  }[];
}

export interface SentRows {
  /** All rows of these devices of the tenant, an instant at a time. */
  instants(
    tenant: string,
    devices: readonly string[],
    each: (instant: StoredInstant) => void,
  ): Promise<void>;
  /** Dead letters of whole records whose devices' ids begin so. */
  letters(
    tenant: string,
    prefix: string,
  ): Promise<{ partition: number; offset: number; reason: string }[]>;
  close(): Promise<void>;
}

/** Rows of so many devices are in memory at a time. */
const DEVICES_AT_ONCE = 50;

const INSTANTS = `
  SELECT e.equip_uuid AS device, ${microsecondsOf("d.time")} AS us, array_agg(s.sensor_uuid) AS names,
         array_agg(d.value) AS values, array_agg(d.text_value) AS texts
  FROM equipments e
  JOIN sensors s ON s.equipment_id = e.id
  JOIN store.telemetry_data d ON d.sensor_id = s.id
  WHERE e.tenant_id = $1 AND e.equip_uuid = ANY ($2)
  GROUP BY e.equip_uuid, d.time`;
const LETTERS = `
  SELECT log_partition AS partition, log_offset::float8 AS offset, reason
  FROM ingest_errors WHERE tenant_id = $1 AND starts_with(device_id, $2) AND item = -1`;

export function createSentRows(url: string): SentRows {
  const database = connectDatabase({
    url,
    name: "drill",
    role: null,
    poolMin: 0,
    poolMax: 1,
  });
  return {
    async instants(tenant, devices, each) {
      for (let i = 0; i < devices.length; i += DEVICES_AT_ONCE) {
        const some = devices.slice(i, i + DEVICES_AT_ONCE);
        const rows = await database.use("read what was stored", (session) =>
          session.rows<{
            device: string;
            us: string;
            names: string[];
            values: (number | null)[];
            texts: (string | null)[];
          }>(INSTANTS, [tenant, some]),
        );
        for (const { device, us, names, values, texts } of rows)
          each({
            deviceId: device,
            timeUs: Number(us),
            points: names.map((name, n) => ({
              name,
              value: values[n] ?? null,
              text: texts[n] ?? null,
            })),
          });
      }
    },
    letters: (tenant, prefix) =>
      database.use("read dead letters", (session) =>
        session.rows(LETTERS, [tenant, prefix]),
      ),
    close: () => database.close(),
  };
}
