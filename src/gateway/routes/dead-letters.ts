/** Dead letters of one's own tenant: by their cause, one by one, and what to do about them. Letters of no tenant are for the command line. */
import type { FastifyPluginAsyncTypebox } from "@fastify/type-provider-typebox";
import type { FastifyRequest } from "fastify";
import { ulid } from "ulid";
import { chooserOf } from "../../domain/adapters/registry.js";
import { createDecoder } from "../../domain/decode.js";
import type {
  LetterDesk,
  LetterFilter,
  LetterReplayer,
  Replayed,
} from "../../ports.js";
import { userOf } from "../auth/identity.js";
import { type GatewayDeps, tenantOf } from "../deps.js";
import {
  A_PAGE,
  A_REPLAY,
  CausesQuery,
  chosen,
  DropBody,
  filterOf,
  LetterParams,
  LettersQuery,
  ReplayBody,
  RunParams,
  type Selection,
  statesOf,
} from "../letter-selection.js";
import { causeShown, letterShown, wholeLetterShown } from "../letters-shown.js";
import { refusal } from "../problems.js";

export interface LetterDeps {
  readonly desk: LetterDesk;
  readonly replayer: LetterReplayer;
}

/** Milliseconds of one replay; less than the gateway waits for a route. */
const REPLAY_MS = 15_000;

export function deadLetterRoutes(
  deps: GatewayDeps,
  { desk, replayer }: LetterDeps,
): FastifyPluginAsyncTypebox {
  /** A replay holds up to 32 MiB of records, so they take turns. */
  let busy = false;

  async function alone<T>(work: () => Promise<T>): Promise<T> {
    if (busy)
      throw refusal(
        "TOO_SLOW",
        "another replay is under way in this gateway; try again in some seconds",
      );
    busy = true;
    try {
      return await work();
    } finally {
      busy = false;
    }
  }

  /** What had been appended when the time was over counts; the same request goes on. */
  async function replayed(filter: LetterFilter, run: string, most: number) {
    const signal = AbortSignal.timeout(REPLAY_MS);
    let done: Replayed = { appended: 0, gone: 0 };
    try {
      done = await replayer.replay(
        filter,
        { run, limit: most, signal },
        (so) => (done = so),
      );
    } catch (error) {
      if (!signal.aborted) throw error;
      return { ...done, complete: false };
    }
    return { ...done, complete: done.appended + done.gone < most };
  }

  async function rehearsed(tenant: string, filter: LetterFilter, most: number) {
    const signal = AbortSignal.timeout(REPLAY_MS);
    const adapters = await desk.adapters(tenant);
    const { decode } = createDecoder({
      ...deps.settings.rules,
      tenants: new Set([tenant]),
      adapterOf: chooserOf(() => adapters),
    });
    try {
      return await replayer.rehearse(filter, { limit: most, decode, signal });
    } catch (error) {
      if (!signal.aborted) throw error;
      throw refusal(
        "TOO_SLOW",
        "looking through the dead letters took too long; ask for fewer with `limit`, or use: twinstream dlq replay --dry-run",
      );
    }
  }

  return async (app) => {
    const operator = { access: "operator" as const };
    app.get(
      "/dead-letters",
      {
        schema: {
          summary: "Dead letters by their cause, most messages first",
          querystring: CausesQuery,
        },
        config: operator,
      },
      async (request) => {
        const { query } = request;
        const causes = await desk.causes(
          filterOf(request, query, "query"),
          statesOf(query.state),
          query.limit ?? A_PAGE.usual,
        );
        return { causes: causes.map(causeShown) };
      },
    );

    app.get(
      "/dead-letters/letters",
      {
        schema: {
          summary: "Dead letters one by one, newest first",
          querystring: LettersQuery,
        },
        config: operator,
      },
      async (request) => {
        const { query } = request;
        const size = query.limit ?? A_PAGE.usual;
        const found = await desk.list(
          filterOf(request, query, "query"),
          statesOf(query.state),
          { before: query.cursor ?? null, limit: size + 1 },
        );
        const page = found.slice(0, size);
        return {
          letters: page.map(letterShown),
          next: found.length > size ? (page.at(-1)?.id ?? null) : null,
        };
      },
    );

    app.get(
      "/dead-letters/letters/:letter_id",
      {
        schema: {
          summary: "One dead letter, with the bytes that were kept",
          params: LetterParams,
        },
        config: operator,
      },
      async (request) => {
        const { letter_id: id } = request.params;
        const letter = await desk.find(tenantOf(request), id);
        if (letter === null)
          throw refusal("NOT_FOUND", `there is no dead letter ${id}`);
        return wholeLetterShown(letter);
      },
    );

    app.post(
      "/dead-letters/replay",
      {
        schema: {
          summary: "Append dead letters to the log again",
          body: ReplayBody,
        },
        config: { act: "dead letters replay" },
      },
      async (request, reply) => {
        const { body } = request;
        const filter = chosen(request, body);
        const most = body.limit ?? A_REPLAY.usual;
        const run = ulid(deps.clock());
        audited(request, body.dry_run === true ? "dry run" : run, body);
        if (body.dry_run === true) {
          const tenant = tenantOf(request);
          const told = await alone(() => rehearsed(tenant, filter, most));
          return { dry_run: true, ...told };
        }
        const done = await alone(() => replayed(filter, run, most));
        const statusUrl = `${request.url.split("?", 1)[0]?.replace(/\/replay\/?$/, "/replays")}/${run}`;
        return reply
          .code(202)
          .header("location", statusUrl)
          .send({ run, ...done, status_url: statusUrl });
      },
    );

    app.get(
      "/dead-letters/replays/:run",
      {
        schema: {
          summary: "What became of a replay's letters; `open`: failed again",
          params: RunParams,
        },
        config: operator,
      },
      async (request) => {
        const { run } = request.params;
        return { run, letters: await desk.run(tenantOf(request), run) };
      },
    );

    app.post(
      "/dead-letters/drop",
      {
        schema: {
          summary: "Give dead letters up; they stay until their time is over",
          body: DropBody,
        },
        config: { act: "dead letters drop" },
      },
      async (request) => {
        const filter = chosen(request, request.body);
        const dropped = await desk.drop(filter);
        audited(request, `${dropped} letters`, request.body);
        return { dropped };
      },
    );
  };
}

function audited(
  request: FastifyRequest,
  what: string,
  body: Selection & { dry_run?: boolean },
): void {
  const { username, tenant } = userOf(request);
  request.audited = {
    user: username,
    tenant,
    subject: `${what}: ${JSON.stringify(body)}`,
  };
}
