/** Requests to the gateway's routes, with the session's token. */
import { answerOf, API, type Asking, send } from "./http.js";
import { accessToken } from "./session.js";

/** @param path below /api/v1 @throws Refused, or the signal's reason */
export async function ask<T>(path: string, asking: Asking = {}): Promise<T> {
  const token = await accessToken();
  const response = await send(`${API}${path}`, asking, token);
  if (response.status !== 401 || token === null)
    return answerOf(response, asking);
  // The token may have been revoked or the clock be off: one more try with a new one.
  const fresh = await accessToken(token);
  return answerOf(await send(`${API}${path}`, asking, fresh), asking);
}
