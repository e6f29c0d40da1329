/** Requests to the gateway; what it refuses comes as a `Refused` with its problem's own words. */

export const API = "/api/v1";

/** A problem as the gateway tells it; `status` 0 when it did not answer at all. */
export class Refused extends Error {
  constructor(
    readonly status: number,
    readonly code: string,
    detail: string,
    readonly errors: readonly {
      readonly path: string;
      readonly reason: string;
    }[] = [],
  ) {
    super(detail);
  }
}

export interface Asking {
  readonly method?: "GET" | "POST" | "DELETE";
  readonly body?: unknown;
  readonly headers?: Readonly<Record<string, string>>;
  readonly signal?: AbortSignal;
  /** Answers of these statuses are no refusals: the health of what is away is an answer. */
  readonly also?: readonly number[];
}

/** Without a session: log-in itself, and what the page must know before it. @throws Refused, or the signal's reason */
export async function askOpenly<T>(url: string, asking: Asking): Promise<T> {
  return answerOf(await send(url, asking, null), asking);
}

export async function send(
  url: string,
  { method = "GET", body, headers = {}, signal }: Asking,
  token: string | null,
): Promise<Response> {
  try {
    return await fetch(url, {
      method,
      headers: {
        ...(body !== undefined && { "content-type": "application/json" }),
        ...(token !== null && { authorization: `Bearer ${token}` }),
        ...headers,
      },
      ...(body !== undefined && { body: JSON.stringify(body) }),
      ...(signal && { signal }),
      cache: "no-store",
    });
  } catch (error) {
    if (signal?.aborted === true) throw error;
    throw new Refused(
      0,
      "UNREACHABLE",
      "The gateway does not answer. Is it running, and is this machine connected?",
    );
  }
}

export async function answerOf<T>(
  response: Response,
  asking: Asking,
): Promise<T> {
  const text = await response.text();
  const body = readJson(text);
  if (response.ok || asking.also?.includes(response.status) === true)
    return body as T;
  throw refusedOf(response.status, body);
}

export function refusedOf(status: number, body: unknown): Refused {
  const problem = (body ?? {}) as {
    code?: string;
    detail?: string;
    errors?: Refused["errors"];
  };
  return new Refused(
    status,
    problem.code ?? "UNKNOWN",
    sentence(problem.detail ?? `The gateway answered with status ${status}.`),
    problem.errors ?? [],
  );
}

export function readJson(text: string): unknown {
  try {
    return text === "" ? undefined : JSON.parse(text);
  } catch {
    return undefined;
  }
}

const sentence = (text: string): string =>
  text.charAt(0).toUpperCase() + text.slice(1);
