/**
 * The web page: one document for every address below /ui, since the page itself knows what stands where, and its files, whose
 * names change with what they hold. All of it is held in memory, compressed when it was built; it is shown to anybody, as
 * there is nothing of a tenant in it, and while Redis is away, which is when an operator needs it.
 */
import { createHash } from "node:crypto";
import type {
  FastifyInstance,
  FastifyPluginAsync,
  FastifyReply,
  FastifyRequest,
} from "fastify";
import { refusal } from "../problems.js";

/** By name below the page's folder, such as `assets/main-ABCD.js`. */
export type PageFiles = ReadonlyMap<string, PageFile>;

export interface PageFile {
  readonly plain: Buffer;
  readonly br: Buffer;
  readonly gzip: Buffer;
}

/** Where the page's own addresses begin. */
const PAGE = "/ui";
const DOCUMENT = "index.html";

/**
 * Scripts, styles, pictures and requests of our own origin alone, and nothing inline. Scripts may set single styles of an
 * element: that is no inline style to a browser.
 */
const POLICY = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "img-src 'self'",
  "connect-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
].join(";");

const TYPES: Readonly<Record<string, string>> = {
  html: "text/html; charset=utf-8",
  js: "text/javascript; charset=utf-8",
  css: "text/css; charset=utf-8",
  svg: "image/svg+xml",
};

/** @param facts what the page must know before anybody logs in */
export function pageRoutes(
  files: PageFiles,
  facts: Readonly<Record<string, unknown>>,
): FastifyPluginAsync {
  const tags = new Map(
    [...files].map(([name, { plain }]) => [
      name,
      `"${createHash("sha256").update(plain).digest("base64url").slice(0, 16)}"`,
    ]),
  );

  function send(
    request: FastifyRequest,
    reply: FastifyReply,
    name: string,
    cache: string,
  ): FastifyReply {
    const file = files.get(name);
    if (file === undefined)
      throw refusal("NOT_FOUND", `the page has no file ${name}`);
    const tag = tags.get(name)!;
    reply
      .header("cache-control", cache)
      .header("vary", "accept-encoding")
      .header("etag", tag)
      .header("content-security-policy", POLICY);
    if (request.headers["if-none-match"]?.includes(tag))
      return reply.code(304).send();
    const takes = request.headers["accept-encoding"] ?? "";
    const encoding = /\bbr\b/.test(takes)
      ? "br"
      : /\bgzip\b/.test(takes)
        ? "gzip"
        : null;
    if (encoding !== null) reply.header("content-encoding", encoding);
    return reply
      .type(TYPES[name.split(".").at(-1) ?? ""] ?? "application/octet-stream")
      .send(file[encoding ?? "plain"]);
  }

  return async (app: FastifyInstance) => {
    const open = {
      schema: { hide: true },
      config: { access: "public", limit: "none" },
    } as const;
    const document = (request: FastifyRequest, reply: FastifyReply) =>
      send(request, reply, DOCUMENT, "no-cache");
    app.get("/", open, document);
    app.get(PAGE, open, document);
    app.get(`${PAGE}/*`, open, document);
    app.get(`${PAGE}/gateway.json`, open, async () => facts);
    app.get<{ Params: { name: string } }>(
      `${PAGE}/assets/:name`,
      open,
      (request, reply) =>
        send(
          request,
          reply,
          `assets/${request.params.name}`,
          "public, max-age=31536000, immutable",
        ),
    );
  };
}
