import { suite } from "uvu";
import * as assert from "uvu/assert";
import {
  stackMetricsUrls,
  withoutMetrics,
} from "../../src/main/metrics-urls.js";

const test = suite("where roles answer /metrics");

test("an address is the same with /metrics, with a slash, and without", () => {
  for (const given of ["", "/", "/metrics", "/metrics/"])
    assert.is(withoutMetrics(`http://h:9100${given}`), "http://h:9100");
});

test("the stack's are taken as far as they are set", () => {
  const env = { METRICS_URL: "http://p", METRICS_URL_BRIDGE: "" };
  assert.equal([...stackMetricsUrls(env)], [["processor", "http://p"]]);
});

test.run();
