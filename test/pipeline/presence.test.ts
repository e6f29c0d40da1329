import { suite } from "uvu";
import * as assert from "uvu/assert";
import { newDevice } from "../../src/domain/decide.js";
import { effectsWith } from "../../src/domain/effects.js";
import type { StoreChange } from "../../src/domain/device.js";
import { createPresence } from "../../src/pipeline/presence.js";
import { reading } from "../support/messages.js";

const test = suite("presence");
const { device } = newDevice(reading(0));
const SECOND = 1_000_000;

const change = (over: Partial<StoreChange>): StoreChange => ({
  ...effectsWith(device, {}).store,
  ...over,
});

test("a device that comes is told once, and again only after half the time-out", () => {
  const presence = createPresence(60 * SECOND);
  assert.is(presence.note([change({ seenUs: 1000 * SECOND })]).length, 1);
  assert.is(presence.note([change({ seenUs: 1020 * SECOND })]).length, 0);
  const [again] = presence.note([change({ seenUs: 1031 * SECOND })]);
  assert.is(again?.online, true);
  assert.is(again?.seenUs, 1031 * SECOND);
  assert.is(presence.size, 1);
});

test("a device that falls silent is told once, with the cause", () => {
  const presence = createPresence(60 * SECOND);
  presence.note([change({ seenUs: 1000 * SECOND })]);
  assert.is(presence.silent(1060 * SECOND).length, 0);
  const [gone, ...more] = presence.silent(1061 * SECOND);
  assert.is(more.length, 0);
  assert.is(gone?.online, false);
  assert.is(gone?.cause, "silent");
  assert.is(gone?.seenUs, 1000 * SECOND);
  assert.is(presence.silent(1200 * SECOND).length, 0);
});

test("its own word that it is gone counts at once", () => {
  const presence = createPresence(60 * SECOND);
  presence.note([change({ seenUs: 1000 * SECOND })]);
  const [gone] = presence.note([change({ online: false })]);
  assert.is(gone?.cause, "disconnected");
  assert.is(presence.size, 0);
});

test("what shows no life changes nothing", () => {
  const presence = createPresence(60 * SECOND);
  assert.is(presence.note([change({ seenUs: 0 })]).length, 0);
  assert.is(presence.size, 0);
});

test("devices on record as online before a restart fall silent too", () => {
  const presence = createPresence(60 * SECOND);
  presence.load([{ device, lastSeenUs: 1000 * SECOND }]);
  assert.is(presence.silent(1061 * SECOND).length, 1);
});

test.run();
