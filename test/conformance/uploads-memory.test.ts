import { createMemoryUploads } from "../support/memory-uploads.js";
import { uploadsConformance } from "./uploads.js";

uploadsConformance("in-memory double", {
  close: async () => {},
  async use(work) {
    const { store, add, rows, errors, letters } = createMemoryUploads();
    await work({
      store,
      add: async (claimId) => {
        add(claimId, "[]");
      },
      rows: async () =>
        [...rows].map(([place, value]) => `${place} ${value}`).toSorted(),
      letters: async () =>
        [
          ...errors.map(({ deadLetterReason }) => deadLetterReason),
          ...letters.map(({ reason }) => reason),
        ].toSorted(),
    });
  },
});
