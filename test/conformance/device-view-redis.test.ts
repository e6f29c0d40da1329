import { Redis } from "ioredis";
import { createDeviceViewReader } from "../../src/adapters/redis/device-view-reader.js";
import { createDeviceView } from "../../src/adapters/redis/device-view.js";
import type { Published } from "../support/memory-view.js";
import { withServices } from "../support/services.js";
import { deviceViewSuite, RULES } from "./device-view.js";

deviceViewSuite("in Redis", (clock, work) =>
  withServices(["redis"], async ({ REDIS_URL: url = "" }) => {
    const view = createDeviceView({ url, ...RULES, clock });
    const reader = createDeviceViewReader({ url });
    const subscriber = new Redis(url);
    const published: Published[] = [];
    subscriber.on("pmessage", (_: string, channel: string, text: string) => {
      published.push({ channel, text });
    });
    try {
      await subscriber.psubscribe("device-*");
      await work({
        view,
        reader,
        // What was published before comes down the same connection before the answer.
        published: async () => {
          await subscriber.ping();
          return published;
        },
      });
    } finally {
      subscriber.disconnect();
      await Promise.all([view.close(), reader.close()]);
    }
  }),
).run();
