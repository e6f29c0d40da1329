/** The list of who is online, which requests of the same moment share. */
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { createOnlineList, type Seen } from "../../src/gateway/online-list.js";
import { until } from "../support/wait.js";

const lists = suite("list of who is online");

/** A view whose reads answer when they are told to, and a clock that is moved. */
function ground() {
  const time = { nowMs: 1_000_000 };
  const reads: {
    tenant: string;
    answer: (seen: Seen[] | null) => void;
    fail: (error: Error) => void;
  }[] = [];
  const list = createOnlineList({
    view: {
      online: (tenant) =>
        new Promise((answer, fail) => reads.push({ tenant, answer, fail })),
    },
    clock: () => time.nowMs,
  });
  return { time, reads, list };
}
const seen = (...ids: string[]): Seen[] =>
  ids.map((deviceId, i) => ({ deviceId, seenS: 100 + i }));
const idsOf = (page: readonly Seen[] | null) =>
  page?.map(({ deviceId }) => deviceId);

lists(
  "pages are in the order of the ids, each after the last id given",
  async () => {
    const { reads, list } = ground();
    const pageAfter = async (after: string | null, count: number) => {
      const page = list.page("acme", 0, after, count);
      reads.pop()?.answer(seen("d", "a", "c", "b", "e"));
      return idsOf(await page);
    };
    assert.equal(await pageAfter(null, 2), ["a", "b"]);
    assert.equal(await pageAfter("b", 2), ["c", "d"]);
    assert.equal(await pageAfter("d", 2), ["e"]);
    assert.equal(await pageAfter("bb", 9), ["c", "d", "e"]);
    assert.equal(await pageAfter("e", 2), []);
  },
);

lists(
  "one read serves all who ask while it is under way, a tenant each",
  async () => {
    const { reads, list } = ground();
    const pages = [1, 2, 3].map((count) => list.page("acme", 0, null, count));
    const other = list.page("other", 0, null, 9);
    assert.equal(
      reads.map(({ tenant }) => tenant),
      ["acme", "other"],
    );
    reads[0]!.answer(seen("a", "b", "c"));
    reads[1]!.answer(null);
    assert.equal((await Promise.all(pages)).map(idsOf), [
      ["a"],
      ["a", "b"],
      ["a", "b", "c"],
    ]);
    assert.is(await other, null, "no set in Redis");
  },
);

lists(
  "a list serves nine times as long as it took to read, a second at most",
  async () => {
    const { time, reads, list } = ground();
    const readIn = async (ms: number): Promise<void> => {
      const page = list.page("acme", 0, null, 9);
      time.nowMs += ms;
      reads.at(-1)!.answer(seen("a"));
      await page;
    };
    /** Real milliseconds until another read is made. */
    const servedMs = async (): Promise<number> => {
      const before = reads.length;
      const startedMs = performance.now();
      await until(
        () => {
          void list.page("acme", 0, null, 9);
          return reads.length > before;
        },
        { withinMs: 5000, what: "the list to be read again" },
      );
      reads.at(-1)!.answer([]);
      return performance.now() - startedMs;
    };
    await readIn(0);
    assert.is(reads.length, 1);
    await readIn(20);
    assert.is(
      reads.length,
      2,
      "a read that takes no time serves nobody after it",
    );
    assert.ok((await servedMs()) >= 150);
    await readIn(60_000);
    const most = await servedMs();
    assert.ok(most >= 950 && most < 4000, `${most} ms`);
  },
);

lists(
  "who has fallen silent since the list was read is not shown",
  async () => {
    const { time, reads, list } = ground();
    const first = list.page("acme", 99, null, 9);
    time.nowMs += 100;
    reads[0]!.answer(seen("a", "b", "c"));
    assert.equal(idsOf(await first), ["a", "b", "c"]);
    assert.equal(idsOf(await list.page("acme", 101, null, 9)), ["b", "c"]);
    assert.equal(idsOf(await list.page("acme", 101, null, 1)), ["b"]);
    assert.is(reads.length, 1);
  },
);

lists(
  "a read that fails fails those who wait, and the next one reads again",
  async () => {
    const { time, reads, list } = ground();
    const pages = [
      list.page("acme", 0, null, 1),
      list.page("acme", 0, null, 1),
    ];
    time.nowMs += 100;
    reads[0]!.fail(new Error("Redis is away"));
    for (const outcome of await Promise.allSettled(pages))
      assert.is(outcome.status, "rejected");
    const next = list.page("acme", 0, null, 1);
    reads[1]!.answer(seen("a"));
    assert.equal(idsOf(await next), ["a"]);
  },
);

lists.run();
