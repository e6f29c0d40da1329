import { Redis } from "ioredis";
import { createLiveFeed } from "../../src/adapters/redis/live-feed.js";
import { createTickets } from "../../src/adapters/redis/tickets.js";
import { withServices } from "../support/services.js";
import { liveFeedSuite, ticketSuite } from "./live-feed.js";

liveFeedSuite("over Redis", (work) =>
  withServices(["redis"], async ({ REDIS_URL: url = "" }) => {
    const feed = createLiveFeed({ url, clock: Date.now });
    const publisher = new Redis(url);
    try {
      await work({
        feed,
        publish: async (channel, message) =>
          void (await publisher.publish(channel, message)),
        async breakOff() {
          const clients = String(await publisher.client("LIST"));
          for (const line of clients.split("\n"))
            if (line.includes(" name=twinstream-live "))
              await publisher.client(
                "KILL",
                "ID",
                /^id=(\d+)/.exec(line)?.[1] ?? "",
              );
        },
        // By itself.
        comeBack: async () => undefined,
      });
    } finally {
      publisher.disconnect();
      await feed.close();
    }
  }),
).run();

ticketSuite("in Redis", (work) =>
  withServices(["redis"], async ({ REDIS_URL: url = "" }) => {
    const tickets = createTickets({ url });
    try {
      await work(tickets);
    } finally {
      await tickets.close();
    }
  }),
).run();
