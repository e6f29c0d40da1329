import { suite } from "uvu";
import * as assert from "uvu/assert";
import {
  isElsewhere,
  placeOf,
  type Place,
  urlOf,
} from "../../src/gateway/dashboard/places.js";

const test = suite("page: addresses");

const PLACES: readonly Place[] = [
  { name: "fleet" },
  { name: "devices", search: "", show: "all" },
  { name: "devices", search: "pump & co", show: "offline" },
  { name: "device", id: "sim-0001", range: "1h" },
  { name: "device", id: "a:b.c", range: "1M" },
  { name: "dead-letters", fingerprint: null },
  { name: "dead-letters", fingerprint: "4f2a90c1be77" },
  { name: "uploads", claim: null },
  { name: "uploads", claim: "01HZ0000000000000000000000" },
];

test("every place has an address that leads back to it", () => {
  for (const place of PLACES) assert.equal(placeOf(urlOf(place)), place);
});

test("what is not known falls back to what is usual", () => {
  assert.equal(placeOf("/ui"), { name: "fleet" });
  assert.equal(placeOf("/ui/devices/x?range=9q"), {
    name: "device",
    id: "x",
    range: "1h",
  });
  assert.equal(placeOf("/ui/devices/x/y"), {
    name: "nowhere",
    path: "/ui/devices/x/y",
  });
  assert.equal(placeOf("/ui/devices?search=100%&show=some"), {
    name: "devices",
    search: "100%",
    show: "all",
  });
});

test("going to a claim or a cause is arriving there; a search or a range is not", () => {
  const uploads = placeOf("/ui/uploads");
  assert.ok(isElsewhere(uploads, placeOf("/ui/uploads/01HZ")));
  assert.ok(isElsewhere(placeOf("/ui/dead-letters/4f2a"), uploads));
  assert.ok(isElsewhere(placeOf("/ui/devices/a"), placeOf("/ui/devices/b")));
  assert.not(
    isElsewhere(placeOf("/ui/devices"), placeOf("/ui/devices?search=x")),
  );
  assert.not(
    isElsewhere(placeOf("/ui/devices/a"), placeOf("/ui/devices/a?range=5h")),
  );
});

test.run();
