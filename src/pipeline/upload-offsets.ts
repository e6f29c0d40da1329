/** Which claim checks of a partition are in work or done, and up to where all are: what may be told to the group. */
export interface UploadOffsets {
  /** False for one that is in work or done: it was fetched again. */
  begin(offset: number): boolean;
  done(offset: number): void;
  /** It was given up, and may be begun again. */
  abandon(offset: number): void;
  /** The offset to go on with: all before it are done; null until one is. */
  readonly next: number | null;
}

/** Offsets are begun in ascending order, but for those abandoned. */
export function createUploadOffsets(): UploadOffsets {
  /** By offset, in ascending order: whether it is done. */
  let begun = new Map<number, boolean>();
  let next: number | null = null;

  return {
    begin(offset) {
      if (next !== null && offset < next) return false;
      if (begun.has(offset)) return false;
      const last = [...begun.keys()].at(-1) ?? -1;
      begun.set(offset, false);
      if (offset < last)
        begun = new Map([...begun].toSorted(([a], [b]) => a - b));
      return true;
    },
    done(offset) {
      if (!begun.has(offset)) return;
      begun.set(offset, true);
      for (const [first, isDone] of begun) {
        if (!isDone) return;
        begun.delete(first);
        next = first + 1;
      }
    },
    abandon(offset) {
      begun.delete(offset);
    },
    get next() {
      return next;
    },
  };
}
