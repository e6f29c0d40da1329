/** Requests to the gateway, as a client of it makes them. */
export interface Answer<T> {
  readonly status: number;
  readonly contentType: string | null;
  readonly body: T;
}

export const getJson = <T>(url: string): Promise<Answer<T>> => ask<T>(url);

export const postJson = <T>(
  url: string,
  body: unknown,
  headers: Readonly<Record<string, string>> = {},
): Promise<Answer<T>> =>
  ask<T>(url, {
    method: "POST",
    headers: { "content-type": "application/json", ...headers },
    body: JSON.stringify(body),
  });

async function ask<T>(url: string, init?: RequestInit): Promise<Answer<T>> {
  const response = await fetch(url, init);
  return {
    status: response.status,
    contentType: response.headers.get("content-type"),
    body: (await response.json()) as T,
  };
}
