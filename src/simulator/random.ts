/** Seeded chance: the same seed and path give the same numbers on every machine. */

/** Numbers in [0, 1). */
export type Random = () => number;

/** An independent generator for each path (a device's index, a command's id) under one seed. */
export function seededRandom(
  seed: number,
  ...path: readonly (number | string)[]
): Random {
  let state = hash32([seed, ...path].join("/"));
  // mulberry32: one 32-bit word of state, so that a fleet of 100,000 generators costs little memory.
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** FNV-1a with a final mix, so that neighbouring paths start far apart. */
function hash32(text: string): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < text.length; i += 1)
    hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193);
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return hash ^ (hash >>> 16);
}
