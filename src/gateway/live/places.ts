/** How many live streams there may be: in this process, of one user, and from one address. */
import { refusal } from "../problems.js";

export interface PlaceRules {
  /** LIVE_MAX_CLIENTS, LIVE_MAX_PER_USER, LIVE_MAX_PER_ADDRESS; 0 is no limit. */
  readonly total: number;
  readonly perUser: number;
  readonly perAddress: number;
}

export interface Places {
  /**
   * Answers how to give the place back.
   * @throws TOO_MANY_STREAMS, RATE_LIMITED
   */
  take(username: string, address: string): () => void;
}

export function createPlaces(rules: PlaceRules): Places {
  let total = 0;
  const users = new Map<string, number>();
  const addresses = new Map<string, number>();
  const add = (of: Map<string, number>, name: string, n: number): void => {
    const now = (of.get(name) ?? 0) + n;
    if (now > 0) of.set(name, now);
    else of.delete(name);
  };
  const full = (count: number, most: number): boolean =>
    most > 0 && count >= most;
  return {
    take(username, address) {
      if (full(users.get(username) ?? 0, rules.perUser))
        throw refusal(
          "RATE_LIMITED",
          `${username} has ${rules.perUser} live streams open here already; close one (one stream may show many devices)`,
        );
      if (full(addresses.get(address) ?? 0, rules.perAddress))
        throw refusal(
          "RATE_LIMITED",
          `${rules.perAddress} live streams are open from this address already; close one (one stream may show many devices)`,
        );
      if (full(total, rules.total)) throw refusal("TOO_MANY_STREAMS", MOST);
      total++;
      add(users, username, 1);
      add(addresses, address, 1);
      let given = false;
      return () => {
        if (given) return;
        given = true;
        total--;
        add(users, username, -1);
        add(addresses, address, -1);
      };
    },
  };
}

const MOST =
  "as many live streams are open as this gateway takes (LIVE_MAX_CLIENTS); try again later";
