import { suite } from "uvu";
import * as assert from "uvu/assert";
import {
  type DeviceRow,
  rowOf,
  shownRows,
  windowOf,
  withNews,
} from "../../src/gateway/dashboard/rows.js";

const test = suite("page: the device list");

const row = (id: string, change: Partial<DeviceRow> = {}): DeviceRow => ({
  id,
  online: true,
  seenMs: 1000,
  cause: null,
  quarantined: false,
  ...change,
});
const ids = (rows: readonly DeviceRow[]): string[] => rows.map(({ id }) => id);
const ALL = { search: "", show: "all" } as const;
const BY_ID = { key: "id", descending: false } as const;

test("devices are sorted as people count", () => {
  const rows = ["sim-10", "sim-2", "sim-1"].map((id) => row(id));
  assert.equal(ids(shownRows(rows, ALL, BY_ID)), ["sim-1", "sim-2", "sim-10"]);
  assert.equal(ids(shownRows(rows, ALL, { key: "id", descending: true })), [
    "sim-10",
    "sim-2",
    "sim-1",
  ]);
});

test("by what was heard last, ties by name", () => {
  const rows = [row("a"), row("c", { seenMs: 5 }), row("b", { seenMs: 5 })];
  assert.equal(ids(shownRows(rows, ALL, { key: "seen", descending: false })), [
    "b",
    "c",
    "a",
  ]);
});

test("a search finds all of its words in name or cause, whatever their case", () => {
  const rows = [
    row("Pump-7", { online: false, cause: "silent" }),
    row("pump-8"),
    row("fan-7"),
  ];
  const found = (search: string) =>
    ids(shownRows(rows, { search, show: "all" }, BY_ID));
  assert.equal(found("pump"), ["Pump-7", "pump-8"]);
  assert.equal(found(" 7  pump "), ["Pump-7"]);
  assert.equal(found("SILENT"), ["Pump-7"]);
  assert.equal(found("nothing"), []);
});

test("filters by presence and quarantine", () => {
  const rows = [row("a"), row("b", { online: false, quarantined: true })];
  const found = (show: "online" | "offline" | "quarantined") =>
    ids(shownRows(rows, { search: "", show }, BY_ID));
  assert.equal(found("online"), ["a"]);
  assert.equal(found("offline"), ["b"]);
  assert.equal(found("quarantined"), ["b"]);
});

test("what the gateway lists becomes a row", () => {
  const listed = {
    device_id: "a",
    online: false,
    last_seen: null,
    cause: "silent",
  };
  assert.equal(
    rowOf(listed, new Set(["a"])),
    row("a", { online: false, seenMs: 0, cause: "silent", quarantined: true }),
  );
});

test("news changes the rows it is about, never back in time, and nothing else", () => {
  const rows = [row("a", { seenMs: 50 }), row("b")];
  const next = withNews(rows, [
    { id: "a", seenMs: 40 },
    { id: "a", online: false, cause: "disconnected" },
    { id: "elsewhere", online: true },
  ]);
  assert.equal(next, [
    row("a", { online: false, seenMs: 50, cause: "disconnected" }),
    row("b"),
  ]);
  assert.is(next[1], rows[1]);
  assert.is(withNews(rows, [{ id: "elsewhere" }]), rows);
});

test("of ten thousand rows those in sight are made, and a few beyond", () => {
  assert.equal(windowOf(0, 880, 44, 10_000), { from: 0, to: 28 });
  assert.equal(windowOf(44_000, 880, 44, 10_000), { from: 992, to: 1028 });
  assert.equal(windowOf(440_000, 880, 44, 10_000), { from: 9992, to: 10_000 });
  assert.equal(windowOf(9e9, 880, 44, 3), { from: 3, to: 3 });
  assert.equal(windowOf(-300, 880, 44, 0), { from: 0, to: 0 });
});

test("ten thousand devices are searched and sorted within a frame or two", () => {
  const rows = Array.from({ length: 10_000 }, (_, i) => row(`sim-${i}`));
  const startMs = performance.now();
  assert.is(
    shownRows(rows, { search: "sim 9", show: "all" }, BY_ID).length,
    3439,
  );
  const ms = performance.now() - startMs;
  // A machine that is busy with other tests takes several times as long as one that is not.
  assert.ok(ms < 500, `${ms} ms`);
});

test.run();
