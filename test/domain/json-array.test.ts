/** Cutting a JSON array into elements: the same as JSON.parse sees, wherever the text is cut. */
import fc from "fast-check";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import {
  type ArrayElement,
  type ArrayLimits,
  createArraySplitter,
} from "../../src/domain/json-array.js";

const test = suite("json array");

const ROOMY: ArrayLimits = { elementBytes: 1 << 20, depth: 64, elements: 1000 };

interface Split {
  readonly elements: readonly (string | { skipped: string })[];
  readonly wrong: string | null;
}

function split(chunks: readonly Buffer[], limits = ROOMY): Split {
  const splitter = createArraySplitter(limits);
  const elements: (string | { skipped: string })[] = [];
  const each = (element: ArrayElement): void => {
    assert.is(element.ordinal, elements.length);
    elements.push(
      element.bytes === null
        ? { skipped: element.skipped }
        : element.bytes.toString(),
    );
  };
  for (const chunk of chunks) {
    const wrong = splitter.push(chunk, each);
    if (wrong !== null) return { elements, wrong };
  }
  return { elements, wrong: splitter.end() };
}

const of = (text: string, limits?: ArrayLimits): Split =>
  split([Buffer.from(text)], limits);

const values = (text: string): unknown[] =>
  of(text).elements.map((element) => JSON.parse(element as string) as unknown);

test("any array comes out as JSON.parse has it, cut at every byte", () => {
  fc.assert(
    fc.property(
      fc.array(fc.jsonValue({ maxDepth: 4 }), { maxLength: 6 }),
      fc.constantFrom(undefined, 1, "\t\r\n "),
      (array, indent) => {
        const text = Buffer.from(JSON.stringify(array, null, indent));
        const expected = JSON.parse(text.toString()) as unknown;
        for (let cut = 0; cut <= text.length; cut++) {
          const { elements, wrong } = split([
            text.subarray(0, cut),
            text.subarray(cut),
          ]);
          assert.is(wrong, null);
          const parsed = elements.map(
            (element) => JSON.parse(element as string) as unknown,
          );
          assert.equal(parsed, expected);
        }
      },
    ),
    { numRuns: 150 },
  );
});

test("a text that comes a byte at a time gives the same", () => {
  fc.assert(
    fc.property(fc.array(fc.jsonValue(), { maxLength: 5 }), (array) => {
      const text = Buffer.from(JSON.stringify(array));
      const bytes = Array.from(text, (byte) => Buffer.from([byte]));
      assert.equal(split(bytes), split([text]));
    }),
    { numRuns: 200 },
  );
});

test("a text that JSON.parse refuses is refused, or gives an element that JSON.parse refuses", () => {
  const pieces = ["[", "]", "{", "}", ",", '"', "\\", ":", "1", " ", '"a"'];
  fc.assert(
    fc.property(fc.array(fc.constantFrom(...pieces)), (parts) => {
      const text = parts.join("");
      let parsed: unknown;
      try {
        parsed = JSON.parse(text);
      } catch {
        const { wrong, elements } = of(text);
        assert.ok(
          wrong !== null ||
            elements.some((element) => {
              try {
                JSON.parse(element as string);
                return false;
              } catch {
                return true;
              }
            }),
          text,
        );
        return;
      }
      if (Array.isArray(parsed)) assert.equal(values(text), parsed);
      else assert.ok(of(text).wrong !== null, text);
    }),
    { numRuns: 5000 },
  );
});

test("what is no array, or no whole one, says so", () => {
  const cases: readonly (readonly [string, RegExp])[] = [
    ["", /empty/],
    ["  \n", /empty/],
    ["{}", /not a JSON array/],
    ["\u{feff}[]", /not a JSON array/],
    ["[", /ends within the array, at element 0/],
    ["[1,2", /ends within the array, at element 2|at element 1/],
    ['["a', /ends within/],
    ["[1,]", /no element where element 1/],
    ["[,1]", /no element where element 0/],
    ["[1}", /closes nothing/],
    ["[] []", /after the array's end/],
    ["[1]x", /after the array's end/],
  ];
  for (const [text, expected] of cases)
    assert.match(of(text).wrong ?? "accepted", expected, text);
});

test("an element that is too large or too deep is reported, and harms no other", () => {
  const limits = { elementBytes: 20, depth: 3, elements: 10 };
  const { elements, wrong } = of(
    `[1,"${"x".repeat(30)}",{"a":[{"b":[2]}]},[[[3]]]]`,
    limits,
  );
  assert.is(wrong, null);
  assert.equal(elements, [
    "1",
    { skipped: "larger than 20 bytes" },
    { skipped: "nested deeper than 3 levels" },
    "[[[3]]]",
  ]);
});

test("more elements than allowed end the array", () => {
  const limits = { ...ROOMY, elements: 2 };
  assert.is(of("[1,2]", limits).wrong, null);
  assert.is(of("[1,2,3]", limits).wrong, "more than 2 elements");
});

test("ten million opening brackets hold no memory", () => {
  const splitter = createArraySplitter(ROOMY);
  const chunk = Buffer.alloc(1 << 20, "[");
  const before = process.memoryUsage().arrayBuffers;
  for (let i = 0; i < 10; i++)
    assert.is(
      splitter.push(chunk, () => assert.unreachable()),
      null,
    );
  assert.ok(process.memoryUsage().arrayBuffers - before < 1 << 20);
  assert.match(splitter.end() ?? "", /ends within/);
});

test.run();
