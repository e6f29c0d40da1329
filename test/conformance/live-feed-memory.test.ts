import {
  createMemoryLiveFeed,
  createMemoryTickets,
} from "../support/memory-live.js";
import { liveFeedSuite, ticketSuite } from "./live-feed.js";

liveFeedSuite("in memory", async (work) => {
  const feed = createMemoryLiveFeed(Date.now);
  await work({
    feed,
    publish: async (channel, message) => feed.publish(channel, message),
    breakOff: async () => feed.breakOff(),
    comeBack: async () => feed.comeBack(),
  });
}).run();

ticketSuite("in memory", (work) => work(createMemoryTickets(Date.now))).run();
