/** A client of the gateway that keeps itself logged in. */
import { explained, GATEWAY } from "../adapters/tls/trouble.js";
import { reasonOf } from "../errors.js";

export interface GatewayAccount {
  readonly username: string;
  readonly password: string;
}

export interface GatewaySession {
  /**
   * Sends it with a token that is good, logging in or refreshing where it takes that; a token that is refused all the same
   * (the user has a new password, say) is replaced once.
   * @throws Error with one line, when no answer comes or the log-in is refused
   */
  post(
    path: string,
    body: Buffer,
    headers: Readonly<Record<string, string>>,
    signal: AbortSignal,
  ): Promise<GatewayAnswer>;
}

export interface GatewayAnswer {
  readonly status: number;
  /** {} where it is no JSON object. */
  readonly body: Readonly<Record<string, unknown>>;
}

interface Tokens {
  readonly access: string;
  readonly refresh: string;
  readonly endsMs: number;
}

/** Milliseconds before its end at which a token is replaced: a request must arrive with it. */
const SPARE_MS = 30_000;
const UNAUTHORIZED = 401;

/** @param account null where the gateway asks for no log-in */
export function openGatewaySession(
  url: string,
  account: GatewayAccount | null,
  nowMs: () => number = Date.now,
): GatewaySession {
  let tokens: Tokens | null = null;

  async function send(
    path: string,
    body: Buffer | string,
    headers: Readonly<Record<string, string>>,
    signal: AbortSignal,
  ): Promise<GatewayAnswer> {
    try {
      const response = await fetch(new URL(path, url), {
        method: "POST",
        headers: { "content-type": "application/json", ...headers },
        body,
        signal,
      });
      return { status: response.status, body: objectIn(await response.text()) };
    } catch (error) {
      throw new Error(`no answer: ${causeOf(error)}`, { cause: error });
    }
  }

  async function tokensFrom(
    path: string,
    body: object,
    signal: AbortSignal,
  ): Promise<GatewayAnswer> {
    const askedMs = nowMs();
    const answer = await send(path, JSON.stringify(body), {}, signal);
    const { access_token, refresh_token, expires_in } = answer.body;
    if (answer.status === 200)
      tokens = {
        access: String(access_token),
        refresh: String(refresh_token),
        endsMs: askedMs + Number(expires_in) * 1000,
      };
    return answer;
  }

  async function accessToken(
    { username, password }: GatewayAccount,
    signal: AbortSignal,
  ): Promise<string> {
    if (tokens !== null && tokens.endsMs - nowMs() < SPARE_MS) {
      const { refresh } = tokens;
      tokens = null;
      // One that is refused (it ended, or its session was) leaves the log-in.
      await tokensFrom(
        "/api/v1/auth/refresh",
        { refresh_token: refresh },
        signal,
      );
    }
    if (tokens === null) {
      const login = { username, password };
      const answer = await tokensFrom("/api/v1/auth/login", login, signal);
      if (tokens === null)
        throw new Error(`log-in as ${username} refused: ${told(answer)}`);
    }
    return (tokens as Tokens).access;
  }

  return {
    async post(path, body, headers, signal) {
      if (account === null) return send(path, body, headers, signal);
      const authorized = async (): Promise<GatewayAnswer> => {
        const bearer = `Bearer ${await accessToken(account, signal)}`;
        return send(path, body, { ...headers, authorization: bearer }, signal);
      };
      const answer = await authorized();
      if (answer.status !== UNAUTHORIZED) return answer;
      tokens = null;
      return authorized();
    },
  };
}

/** What an answer says, in a line. */
export function told({ status, body }: GatewayAnswer): string {
  const said = body["detail"] ?? body["title"];
  return `${status}${typeof said === "string" ? ` ${said}` : ""}`;
}

function objectIn(text: string): Readonly<Record<string, unknown>> {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === "object" && value !== null ? { ...value } : {};
  } catch {
    // A proxy's page, or nothing: the status says enough.
    return {};
  }
}

/** `fetch failed` says nothing; its cause does. */
function causeOf(error: unknown): string {
  const cause = error instanceof Error ? error.cause : undefined;
  return explained(reasonOf(cause instanceof Error ? cause : error), GATEWAY);
}
