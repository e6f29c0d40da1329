import { createMemoryBrokerAccounts } from "../support/memory-credentials.js";
import { brokerAccountsSuite } from "./broker-accounts.js";

brokerAccountsSuite("memory", async (work) => {
  const accounts = createMemoryBrokerAccounts();
  await work({
    accounts,
    mayLogIn: async ({ username, password }) =>
      accounts.accounts.get(username)?.password === password,
  });
});
