/**
 * Who is logged in. The access token lives in memory alone; the refresh token in sessionStorage, so that a reload goes on and a
 * closed tab is the end of it. A refresh token is good for one use, and its second use ends the session, so a tab that was
 * duplicated, storage and all, must not use its copy: a lock by the session's name tells.
 */
import { signal } from "@preact/signals";
import { API, askOpenly, Refused } from "./http.js";
import type { GatewayFacts, Me, Tokens } from "./answers.js";

export type Session =
  | { readonly state: "starting" }
  | { readonly state: "out"; readonly why: string | null }
  /** The gateway could not be asked. */
  | { readonly state: "unreachable"; readonly why: string }
  | { readonly state: "in"; readonly me: Me; readonly withLogIn: boolean };

export const session = signal<Session>({ state: "starting" });
export const facts = signal<GatewayFacts>({
  auth: "on",
  history_hours: 5,
  offline_timeout_s: 60,
  raw_retention_days: 30,
});

interface Kept {
  readonly id: string;
  readonly refresh: string;
}

const KEPT = "twinstream.session";
/** Milliseconds before its end at which a token is exchanged. */
const EARLY_MS = 30_000;
/** Milliseconds for a reloaded tab's earlier self to let its lock go. */
const LOCK_MS = 600;
const NOBODY: Me = { username: "anonymous", tenant: "default", role: "admin" };

let access: { readonly token: string; readonly untilMs: number } | null = null;
let exchanging: Promise<void> | null = null;

export async function start(): Promise<void> {
  session.value = { state: "starting" };
  try {
    facts.value = await askOpenly<GatewayFacts>("/ui/gateway.json", {});
    if (facts.value.auth === "off") {
      session.value = { state: "in", me: NOBODY, withLogIn: false };
      return;
    }
    const kept = readKept();
    if (kept === null || !(await isMine(kept.id))) {
      end(null);
      return;
    }
    await exchange(kept);
  } catch (error) {
    if (session.peek().state === "out") return;
    session.value = {
      state: "unreachable",
      why: String((error as Error).message),
    };
  }
}

/** @throws Refused */
export async function logIn(username: string, password: string): Promise<void> {
  const tokens = await askOpenly<Tokens>(`${API}/auth/login`, {
    method: "POST",
    body: { username, password },
  });
  const id = crypto.getRandomValues(new Uint32Array(4)).join("-");
  await isMine(id);
  take({ id, refresh: tokens.refresh_token }, tokens);
}

export async function logOut(): Promise<void> {
  const kept = readKept();
  const token = access?.token;
  end(null);
  if (kept === null || token === undefined) return;
  await askOpenly(`${API}/auth/logout`, {
    method: "POST",
    body: { refresh_token: kept.refresh },
    headers: { authorization: `Bearer ${token}` },
  }).catch(() => undefined); // It ends by itself within days; the tab forgot it already.
}

/**
 * A token that holds for a while yet; null without log-in.
 * @param refused one that the gateway did not take, to be replaced
 * @throws Refused when there is none to be had
 */
export async function accessToken(refused?: string): Promise<string | null> {
  if (facts.value.auth === "off") return null;
  const stale =
    access === null ||
    access.token === refused ||
    Date.now() > access.untilMs - EARLY_MS;
  if (stale) {
    const kept = readKept();
    if (kept === null) {
      end("Your session has ended. Log in again.");
      throw new Refused(401, "UNAUTHENTICATED", "Your session has ended.");
    }
    exchanging ??= exchange(kept).finally(() => (exchanging = null));
    await exchanging;
  }
  return access?.token ?? null;
}

async function exchange(kept: Kept): Promise<void> {
  try {
    const tokens = await askOpenly<Tokens>(`${API}/auth/refresh`, {
      method: "POST",
      body: { refresh_token: kept.refresh },
    });
    take({ ...kept, refresh: tokens.refresh_token }, tokens);
  } catch (error) {
    if (error instanceof Refused && error.status === 401)
      end("Your session has ended. Log in again.");
    throw error;
  }
}

function take(kept: Kept, tokens: Tokens): void {
  sessionStorage.setItem(KEPT, JSON.stringify(kept));
  access = {
    token: tokens.access_token,
    untilMs: Date.now() + tokens.expires_in * 1000,
  };
  const current = session.peek();
  const me = meIn(tokens.access_token);
  // The same person with a new token is no change for the page.
  if (
    current.state !== "in" ||
    current.me.username !== me.username ||
    current.me.role !== me.role ||
    current.me.tenant !== me.tenant
  )
    session.value = { state: "in", me, withLogIn: true };
}

function end(why: string | null): void {
  access = null;
  sessionStorage.removeItem(KEPT);
  session.value = { state: "out", why };
}

function readKept(): Kept | null {
  try {
    const kept = JSON.parse(
      sessionStorage.getItem(KEPT) ?? "null",
    ) as Kept | null;
    return typeof kept?.refresh === "string" ? kept : null;
  } catch {
    return null;
  }
}

/** For show alone: the gateway reads its own token, and judges by that. */
function meIn(token: string): Me {
  const part = token.split(".")[1] ?? "";
  const bytes = Uint8Array.from(
    atob(part.replaceAll("-", "+").replaceAll("_", "/")),
    (letter) => letter.charCodeAt(0),
  );
  const claims = JSON.parse(new TextDecoder().decode(bytes)) as {
    sub: string;
    tenant: string;
    role: Me["role"];
  };
  return { username: claims.sub, tenant: claims.tenant, role: claims.role };
}

/** Takes the session's lock for as long as this tab lives; false while another tab has it. */
async function isMine(id: string): Promise<boolean> {
  // Only over HTTPS and on this very machine does a browser know locks.
  const locks = (navigator as Partial<Navigator>).locks;
  if (locks === undefined) return true;
  const until = Date.now() + LOCK_MS;
  for (;;) {
    const got = await new Promise<boolean>((answer) => {
      void locks.request(`twinstream ${id}`, { ifAvailable: true }, (lock) => {
        answer(lock !== null);
        return lock === null ? undefined : new Promise(() => undefined);
      });
    });
    if (got || Date.now() > until) return got;
    await new Promise((later) => setTimeout(later, 50));
  }
}

/** Whether the gateway would let this user change things. */
export const mayOperate = (): boolean =>
  session.value.state === "in" && session.value.me.role !== "viewer";
