import fc from "fast-check";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import {
  address,
  deviceTopic,
  historyKey,
  isSegment,
  lastStateKey,
  onlineKey,
  parseAddress,
  parseTopic,
  updatesChannel,
} from "../../src/domain/names.js";

const names = suite("names");

const segment = fc.stringMatching(/^[A-Za-z0-9._:-]{1,128}$/);

names("a segment is 1 to 128 of the allowed characters", () => {
  for (const good of ["a", "Dev-1", "a.b_c:d-E", "x".repeat(128)])
    assert.ok(isSegment(good), good);
  for (const bad of ["", "x".repeat(129), "a/b", "a b", "é", "a\n", "+", "#"])
    assert.not(isSegment(bad), JSON.stringify(bad));
});

names("flat topics belong to the tenant default and have no site", () => {
  for (const kind of ["data", "hello", "ack"] as const)
    assert.equal(parseTopic(`devices/dev-1/${kind}`, "traksense"), {
      tenant: "default",
      site: null,
      deviceId: "dev-1",
      kind,
    });
});

names("tenant topics name tenant, site and device", () => {
  for (const [last, kind] of [
    ["telem", "data"],
    ["event", "event"],
    ["state", "state"],
    ["ack", "ack"],
  ] as const)
    assert.equal(parseTopic(`pre/acme/hq/dev-1/${last}`, "pre"), {
      tenant: "acme",
      site: "hq",
      deviceId: "dev-1",
      kind,
    });
});

names("other topics are refused with a reason in words", () => {
  const reasonOf = (topic: string) => {
    const parsed = parseTopic(topic, "traksense");
    return "reason" in parsed ? parsed.reason : "";
  };
  assert.match(reasonOf("devices/dev 1/data"), 'device "dev 1" is not');
  assert.match(reasonOf("devices//data"), 'device "" is not');
  assert.match(reasonOf("traksense/a+b/hq/d/telem"), 'tenant "a+b" is not');
  assert.match(reasonOf("traksense/a/h q/d/telem"), 'site "h q" is not');
  assert.match(reasonOf("devices/dev-1/commands"), '"commands"');
  assert.match(reasonOf("traksense/a/h/d/data"), '"data"');
  assert.match(reasonOf("other/a/h/d/telem"), "expected devices/");
  assert.match(reasonOf("devices/dev-1/data/more"), "expected devices/");
  assert.match(reasonOf(""), "expected devices/");
});

names("an address and its parts go both ways", () => {
  assert.is(address("default", "dev-1"), "dev-1");
  assert.is(address("acme", "dev-1"), "acme/dev-1");
  fc.assert(
    fc.property(segment, segment, (tenant, deviceId) => {
      assert.equal(parseAddress(address(tenant, deviceId)), {
        tenant,
        deviceId,
      });
    }),
  );
  for (const bad of ["", "/", "a/", "/a", "a/b/c", "a b", "default/dev-1"])
    assert.is(parseAddress(bad), null, bad);
});

names("a device's topic is the one it spoke on", () => {
  const flat = { tenant: "default", deviceId: "d", site: null };
  const owned = { tenant: "acme", deviceId: "d", site: "hq" };
  assert.is(deviceTopic(flat, "data", "p"), "devices/d/data");
  assert.is(deviceTopic(flat, "commands", "p"), "devices/d/commands");
  assert.is(deviceTopic(owned, "data", "p"), "p/acme/hq/d/telem");
  assert.is(deviceTopic(owned, "commands", "p"), "p/acme/hq/d/cmd");
  assert.is(deviceTopic({ ...owned, site: null }, "commands", "p"), null);
  assert.is(deviceTopic(flat, "event", "p"), null);
  assert.is(deviceTopic(owned, "bulk", "p"), null);
  assert.is(
    deviceTopic({ ...flat, site: "hq" }, "data", "p"),
    "p/default/hq/d/telem",
  );
});

names("every topic that can be parsed is given back", () => {
  fc.assert(
    fc.property(
      segment,
      segment,
      segment,
      fc.constantFrom("telem", "event", "state", "ack"),
      (tenant, site, deviceId, last) => {
        const topic = `pre/${tenant}/${site}/${deviceId}/${last}`;
        const parsed = parseTopic(topic, "pre");
        if ("reason" in parsed) throw new Error(parsed.reason);
        assert.is(deviceTopic(parsed, parsed.kind, "pre"), topic);
      },
    ),
  );
});

names("Redis names are those of the contracts", () => {
  assert.is(lastStateKey("acme/d"), "device:last_state:acme/d");
  assert.is(historyKey("d"), "device:history:d");
  assert.is(updatesChannel("d"), "device-updates:d");
  assert.is(onlineKey("default"), "devices:online");
  assert.is(onlineKey("acme"), "devices:online:acme");
});

names.run();
