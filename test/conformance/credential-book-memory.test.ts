import { createMemoryBook } from "../support/memory-credentials.js";
import { credentialBookSuite } from "./credential-book.js";

credentialBookSuite("memory", async (work) => {
  const book = createMemoryBook(Date.now);
  await work({
    book,
    acknowledge: async (deviceId, cmdId, ok) =>
      void book.acks.set(`${deviceId} ${cmdId}`, ok),
  });
});
