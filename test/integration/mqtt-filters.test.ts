/** Topic filters of bridges, and how soon two bridges of one client id come back: what needs no broker. */
import { suite } from "uvu";
import * as assert from "uvu/assert";
import {
  cautions,
  filtersOf,
  matcher,
  overlap,
  subscriptions,
  topicFilters,
} from "../../src/adapters/mqtt/filters.js";
import { createReconnectPace } from "../../src/adapters/mqtt/reconnect-pace.js";
import { loadConfig } from "../../src/config.js";
import { TwinstreamError } from "../../src/errors.js";

const test = suite("topic filters");

test("filters have the prefix filled in and, in a share group, its form", () => {
  const filters = topicFilters("devices/+/data, {prefix}/+/+/+/telem", "acme");
  assert.equal(filters, ["devices/+/data", "acme/+/+/+/telem"]);
  assert.equal(subscriptions(filters, undefined), filters);
  assert.equal(subscriptions(filters, "g"), [
    "$share/g/devices/+/data",
    "$share/g/acme/+/+/+/telem",
  ]);
});

test("filters that would bring a message twice, or are none, are refused by name", () => {
  const refused = (topics: string): string => {
    try {
      topicFilters(topics, "traksense");
    } catch (error) {
      assert.ok(error instanceof TwinstreamError);
      assert.is(error.code, "CONFIG_INVALID");
      return error.message;
    }
    return "";
  };
  assert.match(
    refused("{prefix}/acme/#,{prefix}/+/+/+/telem"),
    "traksense/acme/# and traksense/+/+/+/telem, which match the same topics",
  );
  assert.match(refused("devices/+/data,devices/+/data"), "match the same");
  assert.match(refused("devices/d+/data"), "devices/d+/data, which is no");
  assert.match(refused("devices/#/data"), "no topic filter");
  assert.match(refused("$share/g/devices/+/data"), "MQTT_SHARE_GROUP");
  assert.match(refused(" , "), "names no topic");
  assert.is(refused(loadConfig({}).MQTT_TOPICS), "", "the default is fine");
});

test("filters overlap exactly when some topic matches both", () => {
  for (const [a, b, expected] of [
    ["a/b", "a/b", true],
    ["a/+", "+/b", true],
    ["a/+", "b/+", false],
    ["a/+", "a/b/c", false],
    ["a/#", "a", true],
    ["a/#", "a/b/c", true],
    ["a/#", "b/#", false],
    ["#", "x/y", true],
    ["a/+/c", "a/b/#", true],
    ["devices/+/data", "devices/+/ack", false],
  ] as const) {
    assert.is(overlap(a, b), expected, `${a} ${b}`);
    assert.is(overlap(b, a), expected, `${b} ${a}`);
  }
});

test("a matcher says of topics what the standard says of its filters", () => {
  const asked = matcher(["devices/+/data", "t.x/acme/#", "a/+"]);
  for (const topic of [
    "devices/d/data",
    "t.x/acme",
    "t.x/acme/s/d/telem",
    "a/",
  ])
    assert.ok(asked(topic), topic);
  for (const topic of ["devices/d/e/data", "devices/d/ack", "tyx/acme/s", "a"])
    assert.not(asked(topic), topic);
  assert.ok(matcher(["#"])("any/thing"));
});

test("every filter that matches a topic is found, and none that does not", () => {
  const found = filtersOf("traksense/acme/lisbon/d1/telem");
  assert.is(new Set(found).size, found.length);
  assert.is(found.length, 95);
  for (const filter of found)
    assert.ok(matcher([filter])("traksense/acme/lisbon/d1/telem"), filter);
  for (const filter of ["traksense/acme/#", "+/+/+/+/telem", "#"])
    assert.ok(found.includes(filter), filter);
  assert.equal(filtersOf("$SYS/broker/uptime"), []);
});

test("a shard that parts what belongs together, or hears commands, is warned of", () => {
  const of = (topics: string): string[] =>
    cautions(topicFilters(topics, "traksense"), "traksense");
  assert.equal(of(loadConfig({}).MQTT_TOPICS), []);
  assert.equal(of("devices/+/hello,devices/+/ack"), []);
  assert.match(of("{prefix}/acme/#")[0] ?? "", "commands to devices");
  assert.match(of("devices/+/+")[0] ?? "", "devices/+/commands");
  assert.match(
    of("{prefix}/acme/+/+/state")[0] ?? "",
    "without traksense/acme/+/+/telem",
  );
  assert.equal(of("{prefix}/a/+/+/event,{prefix}/a/+/+/telem"), []);
});

/** Two clients of one id for so many hours: when the session went from one to the other. */
function rivalry(takenOver: boolean, hours: number): number[] {
  let now = 0;
  const paces = [1000, 1300].map((usualMs) =>
    createReconnectPace(usualMs, () => now),
  );
  const changes: number[] = [];
  for (let holder = 0; now < hours * 3_600_000; holder = 1 - holder) {
    paces[holder]!.opened();
    // The other one was put out by that, and comes back after its wait.
    now +=
      changes.length === 0 ? 0 : paces[1 - holder]!.ended(takenOver).waitMs;
    changes.push(now);
  }
  return changes;
}

test("two clients of one id soon leave each other in peace where the broker says what happened", () => {
  const changes = rivalry(true, 24);
  assert.ok(changes.length < 60, `${changes.length} changes in a day`);
  const first = changes.filter((ms) => ms < 600_000).length;
  assert.ok(first <= 10, `${first} in the first ten minutes`);
});

test("where it says nothing they come back no more often than once a minute", () => {
  const changes = rivalry(false, 2);
  const later = changes.filter((ms) => ms > 3_600_000);
  assert.ok(later.length <= 61, `${later.length} changes in an hour`);
});

test("a connection that ends now and then comes back at once", () => {
  let now = 0;
  const pace = createReconnectPace(900, () => now);
  for (let i = 0; i < 20; i += 1) {
    pace.opened();
    now += 180_000;
    assert.equal(pace.ended(false), {
      waitMs: 900,
      inARow: 1,
      crowded: false,
    });
  }
});

test.run();
