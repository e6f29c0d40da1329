import * as fc from "fast-check";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { readEquipment } from "../../src/domain/bulk.js";
import { createJudge } from "../../src/domain/judge.js";

const bulk = suite("equipments of an upload");

const RECEIVED_MS = Date.parse("2026-01-15T10:00:00Z");
const rules = {
  judge: createJudge({
    tenants: new Set<string>(),
    futureUs: 24 * 3_600_000_000,
    earliestUs: Date.UTC(2000, 0, 1) * 1000,
    retentionUs: 30 * 86_400_000_000,
    tenantPrefix: "traksense",
    partitions: 1,
  }),
  receivedUs: RECEIVED_MS * 1000,
};
const read = (value: unknown) => readEquipment(value, "$[3]", rules);

const reading = {
  sensor_uuid: "660e8400-e29b-41d4-a716-446655440001",
  sensor_tipo: "temperatura",
  valor: 25.5,
  timestamp: "2026-01-15T09:59:00Z",
};
const equipment = {
  equip_uuid: "550e8400-e29b-41d4-a716-446655440000",
  equip_nome: "Freezer Teste",
  sensor: [reading],
};
/** What becomes of the contract's reading with these members in place of its own. */
const readingWith = (change: Readonly<Record<string, unknown>>) =>
  read({ ...equipment, sensor: [{ ...reading, ...change }] });

bulk("the contract's example is read", () => {
  assert.equal(read(equipment), {
    equipment: {
      equipUuid: equipment.equip_uuid,
      equipNome: "Freezer Teste",
      sensors: [
        {
          point: {
            sensorUuid: reading.sensor_uuid,
            sensorTipo: "temperatura",
            typeClass: "num",
          },
          timeUs: Date.parse(reading.timestamp) * 1000,
          value: 25.5,
          text: null,
          index: 0,
        },
      ],
    },
    errors: [],
  });
});

bulk("a value is a number, a boolean or a text", () => {
  for (const [valor, value, text, typeClass] of [
    [-0.5, -0.5, null, "num"],
    [2 ** 60, 2 ** 60, null, "num"],
    [-1e140, -1e140, null, "num"],
    [true, 1, null, "bool"],
    [false, 0, null, "bool"],
    ["RUN", null, "RUN", "text"],
    ["", null, "", "text"],
    ["25.5", null, "25.5", "text"],
  ] as const) {
    const [one] = readingWith({ valor }).equipment!.sensors;
    assert.equal(
      [one!.value, one!.text, one!.point.typeClass],
      [value, text, typeClass],
    );
  }
});

bulk("a type that nobody has heard of is a type", () => {
  const [one] = readingWith({ sensor_tipo: "flux capacitance" }).equipment!
    .sensors;
  assert.is(one!.point.sensorTipo, "flux capacitance");
});

bulk("times are ISO 8601, Unix seconds or milliseconds", () => {
  const ms = RECEIVED_MS - 60_000;
  for (const timestamp of [
    "2026-01-15T09:59:00Z",
    "2026-01-15T06:59:00-03:00",
    ms,
    ms / 1000,
  ])
    assert.is(
      readingWith({ timestamp }).equipment!.sensors[0]!.timeUs,
      ms * 1000,
      String(timestamp),
    );
});

bulk(
  "a reading that cannot be stored is named by its path, with its reason",
  () => {
    const day = 86_400_000;
    for (const [change, path, deadLetterReason] of [
      [{ valor: null }, ".valor", "bulk_invalid"],
      [{ valor: undefined }, ".valor", "bulk_invalid"],
      [{ valor: JSON.parse("1e400") }, ".valor", "bulk_invalid"],
      [{ valor: 1.01e140 }, ".valor", "row_refused"],
      [{ valor: -Number.MAX_VALUE }, ".valor", "row_refused"],
      [{ valor: Number.NaN }, ".valor", "bulk_invalid"],
      [{ valor: {} }, ".valor", "bulk_invalid"],
      [{ valor: [1] }, ".valor", "bulk_invalid"],
      [{ valor: "a\0b" }, ".valor", "bulk_invalid"],
      [{ valor: "\uD800" }, ".valor", "bulk_invalid"],
      [{ valor: "x".repeat(65_537) }, ".valor", "bulk_invalid"],
      [{ timestamp: undefined }, ".timestamp", "bulk_invalid"],
      [{ timestamp: null }, ".timestamp", "bulk_invalid"],
      [{ timestamp: "yesterday" }, ".timestamp", "bad_timestamp"],
      [{ timestamp: true }, ".timestamp", "bad_timestamp"],
      [{ timestamp: "1999-12-31T23:59:59Z" }, ".timestamp", "bad_timestamp"],
      [{ timestamp: RECEIVED_MS + day + 1 }, ".timestamp", "bad_timestamp"],
      [{ timestamp: RECEIVED_MS - 30 * day - 1 }, ".timestamp", "too_old"],
      [{ sensor_uuid: undefined }, ".sensor_uuid", "bulk_invalid"],
      [{ sensor_uuid: "../../etc/passwd" }, ".sensor_uuid", "bulk_invalid"],
      [{ sensor_uuid: "a b" }, ".sensor_uuid", "bulk_invalid"],
      [{ sensor_uuid: "a\0" }, ".sensor_uuid", "bulk_invalid"],
      [{ sensor_uuid: "x".repeat(129) }, ".sensor_uuid", "bulk_invalid"],
      [{ sensor_tipo: 7 }, ".sensor_tipo", "bulk_invalid"],
      [{ sensor_tipo: "" }, ".sensor_tipo", "bulk_invalid"],
    ] as const) {
      const { equipment: found, errors } = readingWith(change);
      const shown = JSON.stringify(change);
      assert.equal(found!.sensors, [], shown);
      assert.is(errors.length, 1, shown);
      assert.is(errors[0]!.path, `$[3].sensor[0]${path}`, shown);
      assert.is(errors[0]!.deadLetterReason, deadLetterReason, shown);
      assert.ok(errors[0]!.reason.length < 300, errors[0]!.reason);
      assert.equal(errors[0]!.given, { ...reading, ...change });
    }
  },
);

bulk("a reading at the edge of the bounds is stored", () => {
  const day = 86_400_000;
  for (const timestamp of [RECEIVED_MS + day, RECEIVED_MS - 30 * day])
    assert.equal(readingWith({ timestamp }).errors, []);
});

bulk(
  "readings of one sensor share its name; another class is another point",
  () => {
    const other = { ...reading, sensor_tipo: "x", timestamp: RECEIVED_MS };
    const { equipment: found, errors } = read({
      ...equipment,
      sensor: [reading, other, { ...reading, valor: "RUN" }],
    });
    assert.equal(errors, []);
    const [first, second, text] = found!.sensors.map(({ point }) => point);
    assert.is(second, first);
    assert.is(text!.typeClass, "text");
    assert.equal({ ...text, typeClass: "num" }, first);
  },
);

bulk("a bad reading harms none beside it", () => {
  const bad = [null, 7, "x", [], { ...reading, valor: null }];
  const { equipment: found, errors } = read({
    ...equipment,
    sensor: [reading, ...bad, reading],
  });
  assert.equal(
    found!.sensors.map(({ index }) => index),
    [0, 6],
  );
  assert.equal(
    errors.map(({ path }) => path),
    [1, 2, 3, 4].map((i) => `$[3].sensor[${i}]`).concat("$[3].sensor[5].valor"),
  );
});

bulk("an equipment that cannot be told from others is one error", () => {
  for (const [value, path] of [
    [null, ""],
    [7, ""],
    [[equipment], ""],
    [{}, ".equip_uuid"],
    [{ ...equipment, equip_uuid: 7 }, ".equip_uuid"],
    [{ ...equipment, equip_uuid: "" }, ".equip_uuid"],
    [{ ...equipment, equip_uuid: "../x" }, ".equip_uuid"],
    [{ ...equipment, equip_uuid: "tenant/x" }, ".equip_uuid"],
    [{ ...equipment, equip_nome: 7 }, ".equip_nome"],
    [{ ...equipment, equip_nome: "a\0b" }, ".equip_nome"],
    [{ ...equipment, equip_nome: "x".repeat(257) }, ".equip_nome"],
    [{ ...equipment, sensor: undefined }, ".sensor"],
    [{ ...equipment, sensor: {} }, ".sensor"],
    [{ ...equipment, sensor: [] }, ".sensor"],
  ] as const) {
    const { equipment: found, errors } = read(value);
    assert.is(found, null);
    assert.equal(
      errors.map((error) => [error.path, error.deadLetterReason]),
      [[`$[3]${path}`, "bulk_invalid"]],
    );
    assert.is(errors[0]!.given, value);
  }
});

bulk("an equipment needs no name", () => {
  for (const equip_nome of [null, undefined])
    assert.is(read({ ...equipment, equip_nome }).equipment!.equipNome, null);
});

bulk("100,000 sensors in one equipment are as many readings", () => {
  const sensor = Array.from({ length: 100_000 }, (_, i) => ({
    ...reading,
    sensor_uuid: `sensor-${i}`,
  }));
  assert.is(read({ ...equipment, sensor }).equipment!.sensors.length, 100_000);
});

bulk("whatever JSON holds, every reading is stored or named", () => {
  const member = fc.oneof(
    fc.constantFrom(...Object.values(reading), ...Object.values(equipment)),
    fc.jsonValue(),
  );
  const loose = fc.record(
    {
      sensor_uuid: member,
      sensor_tipo: member,
      valor: member,
      timestamp: member,
    },
    { requiredKeys: [] },
  );
  const list = fc.array(fc.oneof(loose, fc.jsonValue()));
  fc.assert(
    fc.property(fc.oneof(list, fc.jsonValue()), (sensor) => {
      const { equipment: found, errors } = read({ ...equipment, sensor });
      if (found === null) assert.is(errors.length, 1);
      else
        assert.is(
          found.sensors.length + errors.length,
          (sensor as unknown[]).length,
        );
    }),
  );
});

bulk.run();
