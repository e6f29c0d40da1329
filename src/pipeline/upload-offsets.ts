/** Which claim checks of a partition are in work or done, and up to where all are: what may be told to the group. */
export interface UploadOffsets {
  /** False for one that is in work or done: it was fetched again. */
  begin(offset: number): boolean;
  done(offset: number): void;
  /** It was given up: it may be begun again, and until it is done the group is told of nothing behind it. */
  abandon(offset: number): void;
  /** The offset to go on with: all before it are done; null until one is. */
  readonly next: number | null;
}

type Standing = "in work" | "given up" | "done";

/** Offsets are begun in ascending order, but for those abandoned. */
export function createUploadOffsets(): UploadOffsets {
  /** By offset, in ascending order. */
  let begun = new Map<number, Standing>();
  let next: number | null = null;

  return {
    begin(offset) {
      if (next !== null && offset < next) return false;
      const known = begun.get(offset);
      if (known === "in work" || known === "done") return false;
      const last = [...begun.keys()].at(-1) ?? -1;
      begun.set(offset, "in work");
      if (offset < last)
        begun = new Map([...begun].toSorted(([a], [b]) => a - b));
      return true;
    },
    done(offset) {
      if (!begun.has(offset)) return;
      begun.set(offset, "done");
      for (const [first, standing] of begun) {
        if (standing !== "done") return;
        begun.delete(first);
        next = first + 1;
      }
    },
    abandon(offset) {
      if (begun.has(offset)) begun.set(offset, "given up");
    },
    get next() {
      return next;
    },
  };
}
