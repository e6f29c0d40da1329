/**
 * What browsers are told with every answer. Answers are data, never pages; only the page of the API's documents has a policy
 * of its own. The values are helmet's defaults but for the policy. Written down, since they never change: to work them out
 * and to set each on Node's response took a tenth of a small read.
 */
import type { FastifyInstance } from "fastify";

const HEADERS = {
  "content-security-policy": "default-src 'none';frame-ancestors 'none'",
  "cross-origin-opener-policy": "same-origin",
  "cross-origin-resource-policy": "same-origin",
  "origin-agent-cluster": "?1",
  "referrer-policy": "no-referrer",
  "x-content-type-options": "nosniff",
  "x-dns-prefetch-control": "off",
  "x-download-options": "noopen",
  "x-frame-options": "SAMEORIGIN",
  "x-permitted-cross-domain-policies": "none",
  "x-xss-protection": "0",
  // What devices report is nobody's to keep.
  "cache-control": "no-store",
};
/** A year. Over plain HTTP a browser ignores it; behind a proxy that ends TLS it counts. */
const ALWAYS_HTTPS = {
  "strict-transport-security": "max-age=31536000; includeSubDomains",
};

/** @param https whether browsers reach us over HTTPS */
export function secureHeaders(app: FastifyInstance, https: boolean): void {
  const headers = { ...HEADERS, ...(https && ALWAYS_HTTPS) };
  app.addHook("onRequest", (_request, reply, done) => {
    reply.headers(headers);
    done();
  });
}
