/** The gateway as its clients see it. */
import { explained, GATEWAY } from "../../adapters/tls/trouble.js";
import { reasonOf } from "../../errors.js";
import { REMEDY } from "./names.js";
import { NotSo } from "./wait.js";

export interface Answer {
  readonly status: number;
  /** Null where it is not JSON. */
  readonly body: Readonly<Record<string, unknown>> | null;
}

export interface GatewayClient {
  /** @throws NotSo when there is no answer */
  ask(
    signal: AbortSignal,
    path: string,
    options?: { readonly token?: string | null; readonly body?: object },
  ): Promise<Answer>;
  /** Answers an access token. */
  logIn(
    signal: AbortSignal,
    username: string,
    password: string,
  ): Promise<string>;
}

export function createGatewayClient(base: string): GatewayClient {
  const root = base.replace(/\/+$/, "");

  const ask: GatewayClient["ask"] = async (signal, path, options = {}) => {
    const { token, body } = options;
    let response: Response;
    try {
      response = await fetch(root + path, {
        method: body === undefined ? "GET" : "POST",
        headers: {
          ...(body === undefined ? {} : { "content-type": "application/json" }),
          ...(token == null ? {} : { authorization: `Bearer ${token}` }),
        },
        body: body === undefined ? null : JSON.stringify(body),
        signal,
      });
      return { status: response.status, body: readJson(await response.text()) };
    } catch (error) {
      const cause = error instanceof Error && error.cause;
      throw new NotSo(
        `no answer from the gateway at ${root}${path}: ${explained(reasonOf(cause || error), GATEWAY)}`,
        REMEDY.http,
      );
    }
  };

  return {
    ask,
    async logIn(signal, username, password) {
      const { status, body } = await ask(signal, "/api/v1/auth/login", {
        body: { username, password },
      });
      const token = body?.["access_token"];
      if (status === 200 && typeof token === "string") return token;
      throw new NotSo(
        `the gateway does not let ${username} log in: ${shown({ status, body })}`,
      );
    },
  };
}

/** An answer in a few words. */
export const shown = ({ status, body }: Answer): string =>
  `${status} ${typeof body?.["detail"] === "string" ? body["detail"] : JSON.stringify(body)}`.slice(
    0,
    200,
  );

function readJson(text: string): Answer["body"] {
  try {
    return JSON.parse(text) as Record<string, unknown>;
  } catch {
    return null; // A proxy's page; the status says enough.
  }
}
