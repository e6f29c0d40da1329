import fc from "fast-check";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { memberText, unstorablePath } from "../../src/domain/json-text.js";

const jsonText = suite("JSON text");

jsonText("a member's text is given as it was written", () => {
  const text = ` {"a" : 1.0 , "b":{"c":[1, "}\\"",2e3]},"a\\u0062":null,"z":-0 }`;
  assert.is(memberText(text, "a"), "1.0");
  assert.is(memberText(text, "b"), `{"c":[1, "}\\"",2e3]}`);
  assert.is(memberText(text, "ab"), "null");
  assert.is(memberText(text, "z"), "-0");
  assert.is(memberText(text, "c"), null);
  assert.is(memberText("{}", "a"), null);
  assert.is(memberText(`{"a":"\\\\","b":1}`, "b"), "1");
});

jsonText("of a member given twice the last counts", () => {
  assert.is(memberText(`{"a":1,"a":2}`, "a"), "2");
  assert.is(memberText(`{"a":1,"\\u0061":[3]}`, "a"), "[3]");
});

jsonText("whatever the spacing, every member is found", () => {
  fc.assert(
    fc.property(
      fc.dictionary(fc.string({ unit: "binary" }), fc.jsonValue()),
      fc.constantFrom(0, 2, "\t", "\r\n"),
      (value, indent) => {
        const text = JSON.stringify(value, null, indent);
        const parsed = JSON.parse(text) as Record<string, unknown>;
        for (const [name, inner] of Object.entries(parsed)) {
          const found = memberText(text, name);
          assert.is(
            JSON.stringify(JSON.parse(found ?? "")),
            JSON.stringify(inner),
          );
        }
      },
    ),
  );
});

jsonText(
  "NUL and lone surrogates are found by path, in strings and keys",
  () => {
    const pathIn = (text: string) => unstorablePath(text, JSON.parse(text));
    assert.is(pathIn(`{"a":["x","y\\u0000"]}`), "a.1");
    assert.is(pathIn(`{"a":{"b":"\\uD800"}}`), "a.b");
    assert.is(pathIn(`{"a":{"b":"\\udfff tail"}}`), "a.b");
    assert.is(pathIn(`{"a\\u0000":1}`), "a\0");
    assert.is(pathIn(`"\\u0000"`), "payload");
  },
);

jsonText("whole pairs and escaped backslashes are well", () => {
  const pathIn = (text: string) => unstorablePath(text, JSON.parse(text));
  assert.is(pathIn(`{"a":"\\ud83d\\ude00"}`), null);
  assert.is(pathIn(`{"a":"\\\\u0000"}`), null);
  assert.is(pathIn(`{"a":"\\n\\u0001"}`), null);
  assert.is(pathIn(`{"a":"plain"}`), null);
});

jsonText("a million levels are walked through without a stack overflow", () => {
  const deep = `${"[".repeat(1e6)}"\\u0000"${"]".repeat(1e6)}`;
  assert.is.not(unstorablePath(deep, JSON.parse(deep)), null);
});

jsonText.run();
