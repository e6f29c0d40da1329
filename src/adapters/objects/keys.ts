/** What may be a key, and what may be written beside an object: the same in every store. */
import { TwinstreamError } from "../../errors.js";

/** File systems take 255 bytes a name; the rest is for the suffix of the file beside it. */
const SEGMENT = /^[A-Za-z0-9_-][A-Za-z0-9._-]{0,199}$/;
const KEY_CHARACTERS = 512;
/** S3 takes 2 KB of metadata an object, names included. */
const METADATA_BYTES = 2048;
const METADATA_NAME = /^[a-z][a-z0-9_-]{0,63}$/;

/** Files of the filesystem store that hold an object's metadata; no key may end so. */
export const META_SUFFIX = ".meta.json";

/**
 * Answers the key if it is one: segments of letters, digits, `.`, `_` and `-` that do not begin with a dot, by slashes.
 * So it holds no `..`, no backslash, no NUL, no empty segment, and is not absolute.
 * @throws TwinstreamError BAD_REQUEST
 */
export function checkedKey(key: string): string {
  const good =
    key.length <= KEY_CHARACTERS &&
    !key.endsWith(META_SUFFIX) &&
    key.split("/").every((segment) => SEGMENT.test(segment));
  if (good) return key;
  throw new TwinstreamError(
    "BAD_REQUEST",
    `no key of an object: ${JSON.stringify(key.slice(0, 100))}`,
  );
}

/**
 * Answers what keys may begin with: nothing, or the beginning of a key.
 * @throws TwinstreamError BAD_REQUEST
 */
export function checkedPrefix(prefix: string): string {
  if (prefix !== "") checkedKey(`${prefix}x`);
  return prefix;
}

/**
 * Answers the metadata if every store can keep it.
 * @throws TwinstreamError BAD_REQUEST
 */
export function checkedMetadata(
  metadata: Readonly<Record<string, string>>,
): Readonly<Record<string, string>> {
  let bytes = 0;
  for (const [name, value] of Object.entries(metadata)) {
    if (!METADATA_NAME.test(name))
      throw new TwinstreamError(
        "BAD_REQUEST",
        `no name of an object's metadata: ${JSON.stringify(name.slice(0, 100))}`,
      );
    bytes += name.length + asciiOf(value).length;
  }
  if (bytes <= METADATA_BYTES) return metadata;
  throw new TwinstreamError(
    "BAD_REQUEST",
    `${bytes} bytes of metadata; an object takes ${METADATA_BYTES}`,
  );
}

/** A value as a header may carry it: percent-encoded but for ordinary characters; lone surrogates become U+FFFD. */
export function asciiOf(value: string): string {
  return Buffer.from(value)
    .toString()
    .replaceAll(/[^!-$&-~]+/g, encodeURIComponent);
}

/** The reverse; what somebody else wrote and is not encoded stays as it is. */
export function textOf(header: string): string {
  try {
    return decodeURIComponent(header);
  } catch {
    return header;
  }
}
