/** Who may do what, and for how long. */

export type UserRole = "admin" | "operator" | "viewer";

export interface User {
  readonly username: string;
  readonly tenant: string;
  readonly role: UserRole;
}

/** A user as log-in sees one. */
export interface Account extends User {
  readonly passwordHash: string;
  readonly disabled: boolean;
}

/** Who may log in; a log-in knows no tenant yet. */
export interface AccountStore {
  /**
   * Counts an attempt as failed until `begin` says otherwise, and answers the account (null when there is none) and whether
   * the name is locked out; the same work for a name that nobody has.
   */
  attempt(
    username: string,
  ): Promise<{ account: Account | null; lockedOut: boolean }>;
}

/** What became of a refresh token that was presented. */
export type Rotation =
  | { readonly state: "unknown" }
  | { readonly state: "rotated"; readonly user: User }
  /** It was spent before: its family is ended now. */
  | { readonly state: "reused"; readonly user: User }
  /** Its family was ended before, or its user is disabled. */
  | { readonly state: "ended"; readonly user: User };

/** Refresh tokens by their hash; each log-in begins a family of them. */
export interface TokenStore {
  begin(username: string, tokenHash: Buffer, expiresMs: number): Promise<void>;
  /** Spends one and puts the next in its place. */
  rotate(spent: Buffer, next: Buffer, expiresMs: number): Promise<Rotation>;
  /** Ends the family of this user's token; false when there is no such token of this user. */
  end(username: string, tokenHash: Buffer): Promise<boolean>;
}

/** Requests counted for all gateway processes together. */
export interface RateCounter {
  /** Counts one more within the window that the first of them began; answers the count and the milliseconds left of it. */
  hit(
    key: string,
    windowMs: number,
  ): Promise<{ count: number; leftMs: number }>;
}
