/** Sending a file, told how far it is: XMLHttpRequest, as fetch does not tell. */
import { API, readJson, Refused, refusedOf } from "./http.js";
import { accessToken } from "./session.js";

export interface Sent {
  readonly claim_id: string;
}

/**
 * @param progress of the bytes sent, 0 to 1
 * @throws Refused, or the signal's reason
 */
export async function upload(
  file: File,
  key: string,
  progress: (part: number) => void,
  signal: AbortSignal,
): Promise<Sent> {
  const token = await accessToken();
  return new Promise((done, failed) => {
    const request = new XMLHttpRequest();
    request.open("POST", `${API}/telemetry/bulk`);
    request.setRequestHeader(
      "content-type",
      /\.gz$/i.test(file.name) ? "application/gzip" : "application/json",
    );
    request.setRequestHeader("idempotency-key", key);
    if (token !== null)
      request.setRequestHeader("authorization", `Bearer ${token}`);
    request.upload.onprogress = ({ loaded, total }) =>
      progress(total === 0 ? 0 : loaded / total);
    request.onload = () => {
      const body = readJson(request.responseText);
      if (request.status === 202) done(body as Sent);
      else failed(refusedOf(request.status, body));
    };
    request.onerror = () =>
      failed(
        new Refused(
          0,
          "UNREACHABLE",
          "The connection broke off. Try again: the gateway takes it once.",
        ),
      );
    request.onabort = () => failed(signal.reason);
    signal.addEventListener("abort", () => request.abort(), { once: true });
    request.send(file);
  });
}
