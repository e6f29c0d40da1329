/** What every holder of the broker's accounts does alike. */
import { suite } from "uvu";
import * as assert from "uvu/assert";
import type { BrokerAccount, BrokerAccounts } from "../../src/ports.js";

export interface AccountsGround {
  readonly accounts: BrokerAccounts;
  mayLogIn(account: BrokerAccount): Promise<boolean>;
}

export function brokerAccountsSuite(
  name: string,
  withGround: (
    work: (ground: AccountsGround) => Promise<void>,
  ) => Promise<void>,
): void {
  const test = suite(`broker accounts: ${name}`);
  const account = (device: string, password: string): BrokerAccount => ({
    username: `${device}~1`,
    password,
    clientId: device,
    rights: {
      publish: [`devices/${device}/data`],
      subscribe: [`devices/${device}/commands`],
    },
  });

  test("accounts are made, made anew, listed and removed, each as often as one likes", () =>
    withGround(async ({ accounts, mayLogIn }) => {
      const before = await accounts.list();
      const fleet = Array.from({ length: 30 }, (_, i) =>
        account(`fleet-${i}`, `password-${i}`),
      );
      await accounts.put([]);
      await accounts.put(fleet);
      assert.equal(
        (await accounts.list()).toSorted(),
        [...before, ...fleet.map(({ username }) => username)].toSorted(),
      );
      const [first, second] = fleet as [BrokerAccount, BrokerAccount];
      assert.ok(await mayLogIn(first));
      assert.not(await mayLogIn({ ...first, password: "password-1" }));
      const anew = { ...first, password: "another" };
      await accounts.put([anew, account("fleet-30", "password-30")]);
      assert.ok(await mayLogIn(anew));
      assert.not(await mayLogIn(first));
      assert.ok(await mayLogIn(second));
      await accounts.remove(["nobody~1", second.username]);
      await accounts.remove([second.username]);
      assert.not(await mayLogIn(second));
      assert.ok(await mayLogIn(anew));
      await accounts.remove([]);
      await accounts.remove(
        (await accounts.list()).filter((one) => one.startsWith("fleet")),
      );
      assert.equal(await accounts.list(), before);
    }));
  test.run();
}
