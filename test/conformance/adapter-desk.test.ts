/** Registering devices with adapters: the double and the database, as the gateway's role and as the writer's. */
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { createAdapterDesk } from "../../src/adapters/timescale/adapter-desk.js";
import { createTelemetryStore } from "../../src/adapters/timescale/telemetry-store.js";
import type { AdapterDesk } from "../../src/ports.js";
import { withDatabase } from "../support/database.js";
import { createMemoryAdapterDesk } from "../support/memory-adapter-desk.js";

const test = suite("the desk of adapters");

const device = (tenant: string, deviceId: string, adapter: string) => ({
  tenant,
  deviceId,
  adapter,
});

async function mustKeep(desk: AdapterDesk, id: string): Promise<void> {
  assert.is(await desk.find("acme", id), null);
  assert.is(await desk.unregister("acme", id), null, "nothing to end");
  assert.ok(await desk.register(device("acme", id, "tasmota"), 3));
  assert.ok(await desk.register(device("acme", id, "parsec_v1"), 3));
  assert.is(await desk.find("acme", id), "parsec_v1", "the later one counts");
  assert.is(await desk.find("default", id), null, "of that tenant alone");
  assert.is(await desk.unregister("default", id), null);
  assert.is(await desk.unregister("acme", id), "parsec_v1");
  assert.is(await desk.find("acme", id), null);
  assert.not(
    await desk.register(device("nobody", id, "tasmota"), 3),
    "a tenant that there is not",
  );
  assert.is(await desk.find("nobody", id), null);
}

test("the double keeps to the port", () =>
  mustKeep(createMemoryAdapterDesk(["default", "acme"]), "dev-1"));

test("the database keeps to it in both roles, and processors see what it does", () =>
  withDatabase({ extension: "never" }, async ({ url, admin }) => {
    await admin.query("INSERT INTO tenants (tenant_id) VALUES ('acme')");
    const open = (role: "twinstream_writer" | "twinstream_gateway") =>
      createAdapterDesk({ url, name: "test", role, poolMax: 2 });
    const [gateway, writer] = [
      open("twinstream_gateway"),
      open("twinstream_writer"),
    ];
    const store = createTelemetryStore({
      url,
      name: "test",
      poolMin: 0,
      poolMax: 1,
    });
    try {
      await mustKeep(gateway, "dev-1");
      await mustKeep(writer, "dev-2");
      assert.equal([...(await store.registeredAdapters())], []);
      await gateway.register(device("acme", "dev-1", "tasmota"), 7);
      await writer.register(device("default", "new", "tasmota"), 5);
      assert.equal(
        new Map(await store.registeredAdapters()),
        new Map([
          ["acme/dev-1", "tasmota"],
          ["new", "tasmota"],
        ]),
      );
      await gateway.register(device("default", "dev-3", "parsec_v1"), 1);
      assert.equal(await writer.list({ tenant: "default", adapter: null }, 1), {
        counts: new Map([
          ["parsec_v1", 1],
          ["tasmota", 1],
        ]),
        devices: [device("default", "dev-3", "parsec_v1")],
      });
      const { devices } = await writer.list(
        { tenant: null, adapter: "tasmota" },
        10,
      );
      assert.is(devices.length, 2);
      const { rows } = await admin.query(
        "SELECT topics, log_partition, adapter FROM equipments WHERE equip_uuid = 'new'",
      );
      assert.equal(rows, [
        { topics: "flat", log_partition: 5, adapter: "tasmota" },
      ]);
      // As the gateway's role nothing else of a device can be changed, and no other tenant's be seen.
      await admin.query("SET ROLE twinstream_gateway");
      await admin.query("SELECT set_config('app.tenant_id', 'acme', false)");
      const seen = await admin.query("SELECT tenant_id FROM equipments");
      assert.ok(seen.rows.every((row) => row.tenant_id === "acme"));
      const refused = await admin
        .query("UPDATE equipments SET online = true")
        .then(
          () => "done",
          (error: unknown) => String(error),
        );
      assert.match(refused, "permission denied");
    } finally {
      await gateway.close();
      await writer.close();
      await store.close();
    }
  }));

test.run();
