/**
 * The adapters there are, and which of them reads a payload. A new vendor is one file beside this one, its samples beside the
 * tests, and one line here.
 */
import { type Fault, fault, shown } from "../fault.js";
import type { Adapter, JsonObject } from "./adapter.js";
import { parsecV1 } from "./parsec-v1.js";
import { plain } from "./plain.js";
import { tasmota } from "./tasmota.js";
import { v1 } from "./v1.js";

const VENDORS: ReadonlyMap<unknown, Adapter> = named(
  parsecV1, //
  tasmota,
);

/** All of them, by name. */
export const ADAPTERS: ReadonlyMap<string, Adapter> = named(
  v1,
  plain,
  ...VENDORS.values(),
);

/** The adapter of a payload from the device at this address, or why there is none. */
export type ChooseAdapter = (
  payload: JsonObject,
  address: string,
) => Adapter | Fault;

/** The adapter that a payload's `schema` field names; `plain` for a payload without one. */
export const adapterFor = (payload: JsonObject): Adapter | Fault =>
  bySchema(payload) ?? plain;

/**
 * By the payload's `schema`, else by the adapter that its device is registered with, else `plain`.
 * @param registered names of adapters by device address; asked anew for each payload without a schema
 */
export function chooserOf(
  registered: () => ReadonlyMap<string, string>,
): ChooseAdapter {
  return (payload, address) => {
    const named = bySchema(payload);
    if (named !== null) return named;
    const names = registered();
    const name = names.size === 0 ? undefined : names.get(address);
    if (name === undefined) return plain;
    return (
      ADAPTERS.get(name) ??
      fault(
        "unknown_schema",
        `the device is registered with the adapter ${shown(name)}, which there is not`,
      )
    );
  };
}

/** Whether a payload names its adapter itself, whatever its device is registered with. */
export const namesAdapter = (payload: JsonObject): boolean =>
  bySchema(payload) !== null;

/** Null when the payload names none. */
function bySchema(payload: JsonObject): Adapter | Fault | null {
  const { schema } = payload;
  if (schema === v1.name) return v1;
  // Some vendors write their keys in capitals; a SCHEMA that names no adapter is an ordinary point.
  if (schema === undefined) return VENDORS.get(payload["SCHEMA"]) ?? null;
  return (
    VENDORS.get(schema) ??
    fault("unknown_schema", `schema: no adapter for ${shown(schema)}`)
  );
}

// A map, not an object: `schema` is the device's word and may be "constructor" or "__proto__".
function named(...adapters: readonly Adapter[]): Map<string, Adapter> {
  return new Map(adapters.map((adapter) => [adapter.name, adapter]));
}
