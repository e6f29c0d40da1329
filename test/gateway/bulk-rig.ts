/** A gateway that listens and takes uploads, on doubles. */
import type { UploadLimits } from "../../src/gateway/bulk/uploads.js";
import {
  type GatewayRig,
  NOW_MS,
  withGateway,
} from "../support/gateway-rig.js";
import { createMemoryDesk, type MemoryDesk } from "../support/memory-desk.js";
import {
  createMemoryObjects,
  type MemoryObjects,
} from "../support/memory-objects.js";

export interface BulkRig extends GatewayRig {
  readonly desk: MemoryDesk;
  readonly objects: MemoryObjects;
  /** `http://127.0.0.1:…/api/v1/telemetry/bulk`. */
  readonly url: string;
  upload(
    body: string | Buffer,
    headers?: Readonly<Record<string, string>>,
  ): Promise<Answered>;
  /** Whether nothing is left of any upload. */
  isClean(): boolean;
}

export interface Answered {
  readonly status: number;
  readonly headers: Headers;
  // What a route answers is looked at member by member.
  readonly body: Readonly<Record<string, unknown>>;
}

export const JSON_TYPE = { "content-type": "application/json" };
export const GZIP = { ...JSON_TYPE, "content-encoding": "gzip" };

export async function withUploads(
  run: (rig: BulkRig) => Promise<void>,
  limits: Partial<UploadLimits> = {},
  keepBytes = true,
): Promise<void> {
  const desk = createMemoryDesk();
  const objects = createMemoryObjects(() => NOW_MS, keepBytes);
  const uploads = {
    desk,
    objects,
    limits: {
      maxBytes: 1024 ** 3,
      maxRatio: 200,
      maxConcurrent: 8,
      ...limits,
    },
  };
  await withGateway(
    async (rig) => {
      const base = await rig.app.listen({ port: 0, host: "127.0.0.1" });
      const url = `${base}/api/v1/telemetry/bulk`;
      await run({
        ...rig,
        desk,
        objects,
        url,
        async upload(body, headers = JSON_TYPE) {
          const response = await fetch(url, { method: "POST", headers, body });
          return {
            status: response.status,
            headers: response.headers,
            body: (await response.json()) as Answered["body"],
          };
        },
        isClean: () =>
          objects.kept.size === 0 &&
          objects.arriving.size === 0 &&
          desk.claims.size === 0,
      });
    },
    { deps: { uploads } },
  );
}

/** An upload of so many equipments with as many readings each; all at the rig's time. */
export function uploadOf(equipments: number, readings = 2): object[] {
  return Array.from({ length: equipments }, (_, e) => ({
    equip_uuid: `equipment-${e}`,
    equip_nome: `Freezer ${e}`,
    sensor: Array.from({ length: readings }, (__, r) => ({
      sensor_uuid: `sensor-${r}`,
      sensor_tipo: "temperatura",
      valor: e + r / 8,
      timestamp: "2026-01-15T09:59:00Z",
    })),
  }));
}
