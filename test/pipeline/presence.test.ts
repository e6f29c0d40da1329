import { suite } from "uvu";
import * as assert from "uvu/assert";
import { newDevice } from "../../src/domain/decide.js";
import { effectsWith } from "../../src/domain/effects.js";
import type { StoreChange } from "../../src/domain/device.js";
import { createPresence } from "../../src/pipeline/presence.js";
import type { PresenceMove } from "../../src/ports.js";
import { reading } from "../support/messages.js";

const test = suite("presence");
/** Of all tests here; each looks at what it adds. */
const moves: PresenceMove[] = [];
const { device } = newDevice(reading(0));
const SECOND = 1_000_000;

const change = (over: Partial<StoreChange>): StoreChange => ({
  ...effectsWith(device, {}).store,
  ...over,
});

test("a device that comes is told once, and again only after half the time-out", () => {
  const presence = createPresence(60 * SECOND, (move) => moves.push(move));
  assert.is(presence.note([change({ seenUs: 1000 * SECOND })]).length, 1);
  assert.is(presence.note([change({ seenUs: 1020 * SECOND })]).length, 0);
  const [again] = presence.note([change({ seenUs: 1031 * SECOND })]);
  assert.is(again?.online, true);
  assert.is(again?.seenUs, 1031 * SECOND);
  assert.is(presence.size, 1);
});

test("a device that falls silent is told once, with the cause", () => {
  const presence = createPresence(60 * SECOND, (move) => moves.push(move));
  presence.note([change({ seenUs: 1000 * SECOND })]);
  assert.is(presence.silent(1060 * SECOND).length, 0);
  const [gone, ...more] = presence.silent(1061 * SECOND);
  assert.is(more.length, 0);
  assert.is(gone?.online, false);
  assert.is(gone?.cause, "silent");
  assert.is(gone?.seenUs, 1000 * SECOND);
  assert.is(presence.silent(1200 * SECOND).length, 0);
});

test("its own word that it is gone counts at once, unless it was seen after it", () => {
  const presence = createPresence(60 * SECOND, (move) => moves.push(move));
  moves.length = 0;
  presence.note([change({ seenUs: 1000 * SECOND })]);
  const word = (atUs: number) =>
    change({ gone: { atUs, seenUs: 900 * SECOND } });
  assert.equal(presence.note([word(999 * SECOND)]), []);
  const [gone] = presence.note([word(1001 * SECOND)]);
  assert.is(gone?.cause, "disconnected");
  assert.is(gone?.seenUs, 1000 * SECOND);
  assert.is(presence.size, 0);
  presence.note([change({ seenUs: 1002 * SECOND })]);
  presence.silent(1100 * SECOND);
  assert.equal(moves, ["online", "disconnected", "online", "silent"]);
});

test("what shows no life changes nothing", () => {
  const presence = createPresence(60 * SECOND, (move) => moves.push(move));
  assert.is(presence.note([change({ seenUs: 0 })]).length, 0);
  assert.is(presence.size, 0);
});

test("devices on record as online before a restart fall silent too, the half time-out later that the record may be behind", () => {
  const presence = createPresence(60 * SECOND, (move) => moves.push(move));
  presence.load([{ device, lastSeenUs: 1000 * SECOND }]);
  assert.is(presence.silent(1090 * SECOND).length, 0);
  const [gone] = presence.silent(1091 * SECOND);
  assert.is(gone?.seenUs, 1000 * SECOND);
  presence.load([{ device, lastSeenUs: 1000 * SECOND }]);
  const word = { atUs: 1010 * SECOND, seenUs: 1000 * SECOND };
  assert.is(presence.note([change({ gone: word })]).length, 1);
});

test.run();
