/** Devices: who is online, the last state, the history. */
import type { FastifyPluginAsyncTypebox } from "@fastify/type-provider-typebox";
import { Type } from "typebox";
import { address, isSegment } from "../../domain/names.js";
import { toIso, toSeconds } from "../../domain/time.js";
import type { DeviceRecord } from "../../ports.js";
import { type GatewayDeps, tenantOf } from "../deps.js";
import {
  type HistoryPlace,
  readCursor,
  readHistory,
  writeCursor,
} from "../history-page.js";
import { LATEST_US, momentOf } from "../moment.js";
import { createOnlineList } from "../online-list.js";
import {
  causeOf,
  latestOf,
  onlineSinceUs,
  presenceOf,
  toUs,
} from "../presence.js";
import { refusal } from "../problems.js";
import { cursor, DeviceParams, limit, moment } from "../schemas.js";

const DEVICES_A_PAGE = { usual: 1000, most: 5000 };
const MESSAGES_A_PAGE = { usual: 1000, most: 5000 };

const ListQuery = Type.Object({
  all: Type.Optional(
    Type.Boolean({ description: "every known device, not only those online" }),
  ),
  limit: limit(1, DEVICES_A_PAGE.most, DEVICES_A_PAGE.usual),
  cursor,
});
const HistoryQuery = Type.Object({
  from: moment("ISO 8601, Unix seconds or milliseconds"),
  to: moment("as `from`; the message of that very time is in"),
  limit: limit(1, MESSAGES_A_PAGE.most, MESSAGES_A_PAGE.usual),
  cursor,
});

interface ListedDevice {
  readonly device_id: string;
  readonly tenant: string;
  readonly online: boolean;
  readonly last_seen: string | null;
  readonly cause: string | null;
}

export function deviceRoutes(deps: GatewayDeps): FastifyPluginAsyncTypebox {
  const { view, records, settings } = deps;
  const onlineList = createOnlineList(deps);

  /** Devices online now, in the order of their ids. */
  async function online(
    tenant: string,
    after: string | null,
    count: number,
  ): Promise<ListedDevice[]> {
    const sinceUs = onlineSinceUs(deps);
    const page = await onlineList.page(tenant, sinceUs / 1e6, after, count);
    if (page === null)
      return (
        await records.devices(tenant, {
          onlineSinceUs: sinceUs,
          after,
          limit: count,
        })
      ).map((record) => listed(record, null));
    return page.map(({ deviceId, seenS }) => ({
      device_id: deviceId,
      tenant,
      online: true,
      last_seen: isoOf(toUs(seenS)),
      cause: causeOf(deps, true, seenS * 1e6, null),
    }));
  }

  /** Every known device, in the order of their ids. */
  async function all(
    tenant: string,
    after: string | null,
    count: number,
  ): Promise<ListedDevice[]> {
    const page = await records.devices(tenant, {
      onlineSinceUs: null,
      after,
      limit: count,
    });
    const seen =
      page.length === 0
        ? []
        : await view.seen(
            tenant,
            page.map((record) => record.deviceId),
          );
    return page.map((record, i) =>
      listed(record, seen === null ? null : { seenS: seen[i] ?? null }),
    );
  }

  /** `seen` is what Redis says of it; null when Redis has no online set, and the database's word counts. */
  function listed(
    record: DeviceRecord,
    seen: { seenS: number | null } | null,
  ): ListedDevice {
    const sinceUs = onlineSinceUs(deps);
    const seenUs = toUs(seen?.seenS ?? null);
    const isOnline =
      seen === null
        ? record.online && record.lastSeenUs >= sinceUs
        : seenUs !== null && seenUs >= sinceUs;
    const lastSeenUs = latestOf(record.lastSeenUs, seenUs);
    return {
      device_id: record.deviceId,
      tenant: record.tenant,
      online: isOnline,
      last_seen: isoOf(lastSeenUs),
      cause: causeOf(deps, isOnline, lastSeenUs ?? 0, record.cause),
    };
  }

  return async (app) => {
    app.get(
      "/devices",
      { schema: { querystring: ListQuery } },
      async (request) => {
        const { query } = request;
        const after = query.cursor ?? null;
        if (after !== null && !isSegment(after)) throw badCursor();
        const size = query.limit ?? DEVICES_A_PAGE.usual;
        const list = query.all === true ? all : online;
        const found = await list(tenantOf(request), after, size + 1);
        const devices = found.slice(0, size);
        return {
          devices,
          next:
            found.length > size ? (devices.at(-1)?.device_id ?? null) : null,
        };
      },
    );

    app.get(
      "/devices/:id",
      { schema: { params: DeviceParams } },
      async (request, reply) => {
        const tenant = tenantOf(request);
        const { id } = request.params;
        const [presence, shown] = await Promise.all([
          presenceOf(deps, tenant, id),
          view.last(address(tenant, id)),
        ]);
        // A view that lost its data is not the last word: the newest rows are.
        const stored = shown === null ? await records.newest(tenant, id) : null;
        const last =
          shown ??
          (stored === null
            ? null
            : { payload: stored.payload, timestamp: toSeconds(stored.timeUs) });
        if (last === null && !presence.known) throw unknown(id);
        const head = JSON.stringify({
          device_id: id,
          tenant,
          online: presence.online,
          last_seen: isoOf(presence.lastSeenUs),
          cause: presence.cause,
          timestamp: last?.timestamp ?? null,
        });
        // The device's own text goes in as it is: parsed and written again, integers beyond 2^53 would change.
        return reply
          .type("application/json")
          .send(`${head.slice(0, -1)},"payload":${last?.payload ?? "null"}}`);
      },
    );

    app.get(
      "/devices/:id/history",
      { schema: { params: DeviceParams, querystring: HistoryQuery } },
      async (request, reply) => {
        const tenant = tenantOf(request);
        const { id } = request.params;
        const { query } = request;
        const cutoffS = deps.clock() / 1000 - settings.historyHours * 3600;
        const fromUs = momentOf("from", query.from);
        const fromS =
          fromUs === null ? cutoffS : Math.max(cutoffS, toSeconds(fromUs));
        const toS = toSeconds(momentOf("to", query.to) ?? LATEST_US);
        const page = await readHistory(
          view,
          address(tenant, id),
          placeOf(query.cursor, fromS),
          toS,
          query.limit ?? MESSAGES_A_PAGE.usual,
        );
        if (page.messages.length === 0) await mustBeKnown(deps, tenant, id);
        const next = page.next === null ? null : writeCursor(page.next);
        return reply
          .type("application/json")
          .send(
            `{"device_id":${JSON.stringify(id)},"messages":[${page.messages.join(",")}],"next":${JSON.stringify(next)}}`,
          );
      },
    );
  };
}

/** @throws DEVICE_UNKNOWN when neither Redis nor the database has seen it. */
export async function mustBeKnown(
  deps: GatewayDeps,
  tenant: string,
  deviceId: string,
): Promise<void> {
  const { known } = await presenceOf(deps, tenant, deviceId);
  if (!known) throw unknown(deviceId);
}

const unknown = (deviceId: string) =>
  refusal(
    "DEVICE_UNKNOWN",
    `no device ${deviceId} has been seen; GET /devices?all=1 lists those that have`,
  );

const badCursor = () =>
  refusal("BAD_REQUEST", "the cursor is not one of this route", [
    { path: "query.cursor", reason: "must be `next` of the page before" },
  ]);

/** Where to go on; never before what the history may show. */
function placeOf(text: string | undefined, fromS: number): HistoryPlace {
  if (text === undefined) return { fromS, skip: 0 };
  const place = readCursor(text);
  if (place === null) throw badCursor();
  return place.fromS < fromS ? { fromS, skip: 0 } : place;
}

const isoOf = (us: number | null): string | null =>
  us === null ? null : toIso(us);
