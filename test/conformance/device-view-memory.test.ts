import { createMemoryDeviceView } from "../support/memory-view.js";
import { deviceViewSuite, RULES } from "./device-view.js";

deviceViewSuite("in memory", async (clock, work) => {
  const { view, reader, published } = createMemoryDeviceView({
    ...RULES,
    clock,
  });
  await work({ view, reader, published: async () => published });
}).run();
