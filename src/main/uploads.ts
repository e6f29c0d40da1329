/** What the gateway needs to take uploads: object store and claims, with the sweeper that finishes what was left. */
import { createObjectStore } from "../adapters/objects/store.js";
import { createUploadDesk } from "../adapters/timescale/uploads-desk.js";
import type { UploadDeps } from "../gateway/bulk/uploads.js";
import { createSweeper } from "../pipeline/sweeper.js";
import type { LogWriter } from "../ports.js";
import type { RoleBase } from "./role.js";

/** Sweeps from now on. */
export function openUploads(base: RoleBase, log: LogWriter): UploadDeps {
  const { config, observer } = base;
  const objects = createObjectStore(config, (text) => base.log.warn(text));
  base.onStop("object store", () => objects.close());
  const desk = createUploadDesk({
    url: config.DATABASE_URL,
    name: "gateway uploads",
    poolMin: 0,
    poolMax: config.DB_POOL_MAX,
  });
  base.onStop("claims", () => desk.close());
  const sweeper = createSweeper({
    desk,
    objects,
    log,
    observer,
    clock: Date.now,
    retentionDays: config.FILE_RETENTION_DAYS,
  });
  base.onStop("sweeper", () => sweeper.stop());
  sweeper.start();
  return {
    desk,
    objects,
    limits: {
      maxBytes: config.BULK_MAX_BYTES,
      maxRatio: config.BULK_MAX_RATIO,
      maxConcurrent: config.BULK_MAX_CONCURRENT,
    },
  };
}
