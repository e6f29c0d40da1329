/**
 * Who gets what: a room for each watched device, and for each tenant that is watched as a whole. A room is one watch of the
 * feed, begun with its first client and ended with its last. What comes in one turn of the event loop is one batch.
 */
import { address, DEFAULT_TENANT, parseAddress } from "../../domain/names.js";
import type { LiveFeed } from "../../ports.js";
import type { LiveClient } from "./client.js";
import { batchOf, type Frame, presenceFrame, updateFrame } from "./frame.js";

/** What a stream shows: all devices of a tenant, or these alone. */
export interface Scope {
  readonly tenant: string;
  /** Device ids; empty: all of the tenant. */
  readonly devices: readonly string[];
}

interface Room {
  readonly clients: Set<LiveClient>;
  /** Resolves once everything published from then on comes here. */
  watched: Promise<void>;
  /** Of this turn. */
  frames: Frame[];
}

export interface Rooms {
  /**
   * The client gets what is published from now on, completely once it resolves.
   * @throws VIEW_UNREACHABLE; the client is in no room then
   */
  enter(client: LiveClient, scope: Scope): Promise<void>;
  leave(client: LiveClient, scope: Scope): void;
  /** Addresses that are watched one by one. */
  devices(): readonly string[];
  /** Tenants that are watched as a whole. */
  tenants(): readonly string[];
  /** Gives a message to those who watch this device by itself, or to those who watch all of its tenant. */
  update(at: string, message: Buffer, watched: "device" | "tenant"): void;
  presence(message: Buffer): void;
  /** Gives out what this turn has brought so far. */
  sendTurn(): void;
}

export function createRooms(feed: LiveFeed): Rooms {
  const byDevice = new Map<string, Room>();
  const byTenant = new Map<string, Room>();
  let dirty: Room[] = [];

  function sendTurn(): void {
    const rooms = dirty;
    dirty = [];
    for (const room of rooms) {
      const batch = batchOf(room.frames);
      room.frames = [];
      for (const client of room.clients) client.take(batch);
    }
  }
  function put(room: Room | undefined, frame: Frame): void {
    if (room === undefined) return;
    if (room.frames.push(frame) > 1) return;
    // Runs once the sockets have been looked at, before Node waits for them again.
    if (dirty.push(room) === 1) setImmediate(sendTurn);
  }

  /** Rooms of these names; those that are not there are made, on one watch. */
  function roomsOf(
    rooms: Map<string, Room>,
    names: readonly string[],
    watch: (names: readonly string[]) => Promise<void>,
  ): Room[] {
    const made = names.filter((name) => !rooms.has(name));
    if (made.length > 0) {
      const watched = watch(made);
      for (const name of made)
        rooms.set(name, { clients: new Set(), watched, frames: [] });
      watched.catch(() => {
        for (const name of made)
          if (rooms.get(name)?.watched === watched) rooms.delete(name);
      });
    }
    return names.map((name) => rooms.get(name)!);
  }

  /** Takes the client out; answers which rooms nobody is in any more, and closes them. */
  function outOf(
    rooms: Map<string, Room>,
    names: readonly string[],
    client: LiveClient,
  ): string[] {
    return names.filter((name) => {
      const room = rooms.get(name);
      if (room?.clients.delete(client) !== true) return false;
      return room.clients.size === 0 && rooms.delete(name);
    });
  }

  const addresses = ({ tenant, devices }: Scope): string[] =>
    devices.map((id) => address(tenant, id));

  function leave(client: LiveClient, scope: Scope): void {
    if (scope.devices.length > 0)
      feed.unwatchDevices(outOf(byDevice, addresses(scope), client));
    else
      for (const tenant of outOf(byTenant, [scope.tenant], client))
        feed.unwatchTenant(tenant);
  }

  return {
    async enter(client, scope) {
      const rooms =
        scope.devices.length > 0
          ? roomsOf(byDevice, addresses(scope), (names) =>
              feed.watchDevices(names),
            )
          : roomsOf(byTenant, [scope.tenant], () =>
              feed.watchTenant(scope.tenant),
            );
      for (const room of rooms) room.clients.add(client);
      try {
        await Promise.all(rooms.map(({ watched }) => watched));
      } catch (error) {
        leave(client, scope);
        throw error;
      }
    },
    leave,
    sendTurn,
    devices: () => [...byDevice.keys()],
    tenants: () => [...byTenant.keys()],
    update(at, message, watched) {
      const room =
        watched === "device"
          ? byDevice.get(at)
          : byTenant.get(parseAddress(at)?.tenant ?? "");
      if (room !== undefined) put(room, updateFrame(at, message));
    },
    presence(message) {
      if (byDevice.size + byTenant.size === 0) return;
      const { device_id: deviceId, tenant = DEFAULT_TENANT } = JSON.parse(
        message.toString(),
      ) as { device_id: string; tenant?: string };
      const at = address(tenant, deviceId);
      const frame = presenceFrame(at, message);
      put(byDevice.get(at), frame);
      put(byTenant.get(tenant), frame);
    },
  };
}
