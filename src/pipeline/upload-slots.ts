/** How much may be in work at a time, as units: who asks for more than is free waits in line, so that the large get their turn. */
export interface Slots {
  /** Resolves with what gives the units back, to be called once. At most all units there are. */
  take(units: number): Promise<() => void>;
  readonly taken: number;
}

export function createSlots(units: number): Slots {
  let free = units;
  const line: { wanted: number; go: () => void }[] = [];

  function serve(): void {
    for (;;) {
      const first = line[0];
      if (first === undefined || first.wanted > free) return;
      line.shift();
      free -= first.wanted;
      first.go();
    }
  }

  return {
    take(asked) {
      const wanted = Math.min(Math.max(1, asked), units);
      return new Promise((resolve) => {
        let returned = false;
        const giveBack = (): void => {
          if (returned) return;
          returned = true;
          free += wanted;
          serve();
        };
        line.push({ wanted, go: () => resolve(giveBack) });
        serve();
      });
    },
    get taken() {
      return units - free;
    },
  };
}
