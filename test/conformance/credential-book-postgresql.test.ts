import { createDeviceCredentials } from "../../src/adapters/timescale/device-credentials.js";
import { withDatabase } from "../support/database.js";
import { credentialBookSuite } from "./credential-book.js";

credentialBookSuite("PostgreSQL", (work) =>
  withDatabase({ extension: "never" }, async ({ url, admin }) => {
    await admin.query("INSERT INTO tenants (tenant_id) VALUES ('acme')");
    const book = createDeviceCredentials({ url, name: "test" });
    try {
      await work({
        book,
        acknowledge: async (deviceId, cmdId, ok) =>
          void (await admin.query(
            `INSERT INTO cmd_ack (tenant_id, device_id, cmd_id, ok, ts_exec, hash, late, known, received_at)
             VALUES ('default', $1, $2, $3, now(), '', false, false, now())`,
            [deviceId, cmdId, ok],
          )),
      });
    } finally {
      await book.close();
    }
  }),
);
