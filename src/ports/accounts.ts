/** Users, their sessions, and how much they may ask. Times are Unix milliseconds. */

export type UserRole = "admin" | "operator" | "viewer";

export interface User {
  readonly username: string;
  readonly tenant: string;
  readonly role: UserRole;
}

/** A user as log-in sees one. */
export interface Account extends User {
  readonly passwordHash: string;
  /** They themselves, or their tenant. */
  readonly disabled: boolean;
}

/** Looked up by name alone: a log-in knows no tenant yet. */
export interface AccountStore {
  /**
   * Counts a failed log-in, which `TokenStore.begin` takes back; while the name is locked out nothing is counted. Takes the
   * same work for a name that nobody has (`account` null), which is locked out like any other.
   */
  attempt(
    username: string,
  ): Promise<{ account: Account | null; lockedOut: boolean }>;
}

/** What became of a refresh token that was presented. */
export type Rotation =
  /** There is none of this hash, or its time is over. */
  | { readonly state: "unknown" }
  | { readonly state: "rotated"; readonly user: User }
  /** It was spent before: somebody has a copy, so its family is ended now. */
  | { readonly state: "reused"; readonly user: User }
  /** Its family was ended before, or its user or their tenant is disabled. */
  | { readonly state: "ended"; readonly user: User };

/** Refresh tokens, known by their SHA-256; a log-in and all tokens that follow from it are a family. */
export interface TokenStore {
  /** A log-in that succeeded: its first token. Forgets the name's failed ones. */
  begin(username: string, tokenHash: Buffer, expiresMs: number): Promise<void>;
  /** Spends one token and puts the next in its place; two at once with the same token are one `rotated`, one `reused`. */
  rotate(spent: Buffer, next: Buffer, expiresMs: number): Promise<Rotation>;
  /** Ends the token's family; false when this user has no such token. */
  end(username: string, tokenHash: Buffer): Promise<boolean>;
}

/** Requests counted for all gateway processes together. */
export interface RateCounter {
  /**
   * One more request under this key. A window begins with its first request; answers how many it holds and the milliseconds
   * left of it.
   * @throws VIEW_UNREACHABLE
   */
  hit(
    key: string,
    windowMs: number,
  ): Promise<{ count: number; leftMs: number }>;
}

/** Who opens something with a ticket, and until when that lasts: the end of the access token that the ticket was got with. */
export interface TicketHolder extends User {
  readonly untilMs: number;
}

/** Tickets, known by their SHA-256; each is good once, in whichever gateway process. */
export interface TicketStore {
  /** @throws VIEW_UNREACHABLE */
  put(hash: Buffer, holder: TicketHolder, lifeMs: number): Promise<void>;
  /** Null when there is none, it was taken before, or its time is over. @throws VIEW_UNREACHABLE */
  take(hash: Buffer): Promise<TicketHolder | null>;
}
