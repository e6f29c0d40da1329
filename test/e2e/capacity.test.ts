/** `twinstream capacity` against a running system. */
import { suite } from "uvu";
import * as assert from "uvu/assert";
import type { Capacity } from "../../src/main/capacity/look.js";
import { withRunning } from "../support/fleet.js";
import { runCommand } from "../support/roles.js";

const test = suite("twinstream capacity");

test("it tells the load of each role, what is full first, and the device that says most", () =>
  withRunning({}, async ({ start, env, simulate, settled }) => {
    const bridge = await start("bridge");
    const processor = await start("processor");
    await simulate(["--devices", "5", "--messages", "50", "--rate", "50"]);
    await simulate([
      "--devices",
      "1",
      "--prefix",
      "chatty-",
      "--messages",
      "100",
      "--rate",
      "100",
    ]);
    await settled();
    const roles = [
      "--metrics",
      `processor=${processor.metricsUrl}`,
      "--metrics",
      `bridge=${bridge.metricsUrl}`,
    ];
    const ask = (...more: string[]) =>
      runCommand(
        ["capacity", "--seconds", "1", "--window", "600", ...more],
        env,
      );

    const { code, output } = await ask("--json", ...roles);
    assert.is(code, 0, output);
    const capacity = JSON.parse(output) as Capacity;
    assert.equal(
      capacity.roles.map(({ role, trouble }) => [role, trouble]),
      [
        ["processor", null],
        ["bridge", null],
      ],
    );
    assert.ok(capacity.roles[0]!.residentBytes > 1e7);
    assert.ok(capacity.roles[0]!.actors >= 6);
    const names = capacity.headroom.map(({ part, what }) => `${part}: ${what}`);
    for (const name of [
      "processor: its core",
      "processor: live actors",
      "bridge: its core",
      "redis: its core",
      "database: connections",
    ])
      assert.ok(names.includes(name), `${name} of ${names.join(", ")}`);
    assert.match(capacity.devices.top[0]!.device, /^chatty-/);
    assert.is(capacity.devices.seen, 7); // six devices and the marker of `settled`
    assert.ok(capacity.log.bytesPerSecond > 0);

    const words = await ask("--top", "2", ...roles);
    assert.match(words.output, /^now: .* messages\/s/);
    assert.match(words.output, /costliest of 7 devices/);

    const gone = await ask("--metrics", "bridge=http://127.0.0.1:1");
    assert.is(gone.code, 1);
    assert.match(
      gone.output,
      /bridge +does not answer at http:\/\/127.0.0.1:1/,
    );

    const wrong = await ask("--metrics", "processor");
    assert.is(wrong.code, 1);
    assert.match(wrong.output, /such as processor=http:/);
  }));

test.run();
