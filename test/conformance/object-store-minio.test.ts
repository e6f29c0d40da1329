/** The object store's contract, in a bucket of a real MinIO. */
import { createObjectStore } from "../../src/adapters/objects/store.js";
import { whyNoMinio, withMinio } from "../support/minio.js";
import { objectStoreSuite } from "./object-store.js";

objectStoreSuite(
  "minio",
  (work) =>
    withMinio(async ({ settings }) => {
      const store = createObjectStore(settings, (text) => {
        throw new Error(text);
      });
      try {
        await store.prepare(7);
        await work(store);
      } finally {
        await store.close();
      }
    }),
  await whyNoMinio(),
).run();
