/**
 * What becomes of device credentials by themselves, looked at each minute by one process at a time:
 * - what a cut-off act left is removed;
 * - a replaced password is removed once its overlap is over;
 * - passwords that are due are told of, again and again;
 * - those of devices that know the command `rotate_credentials` are replaced: a second user name and password are made and
 *   handed over in that command, straight to the device's own topic. It goes neither over the log nor into the database,
 *   which keep the parameters of every other command. Only when the device acknowledges it does the old one begin to retire.
 *   One that does not answer within a day, or refuses, loses the new one and keeps the old.
 * No password ends by age alone: a device that nobody has given a new one goes on, and is told of as overdue.
 */
import { HALF_DONE } from "../domain/credentials.js";
import { toIso } from "../domain/time.js";
import type {
  Clock,
  CommandLink,
  Credential,
  CredentialAct,
  CredentialBook,
  IssuedCredential,
  Observer,
} from "../ports.js";
import { addressOf, type Credentials } from "./credentials.js";
import { attempts, createRounds, type Rounds } from "./rounds.js";

export interface KeeperOptions {
  readonly credentials: Credentials;
  readonly book: CredentialBook;
  readonly link: Pick<CommandLink, "send" | "connected">;
  readonly observer: Observer;
  readonly clock: Clock;
  /** Ids of commands. */
  readonly newId: () => string;
}

export interface Keeper extends Rounds {
  /** Once; answers whether it was this process. Failures are told to the observer. */
  look(): Promise<boolean>;
}

const EVERY_MS = 60_000;
/** Longer than an act takes, a batch of hundreds at a large broker among them. */
const CUT_OFF_MS = 600_000;
/** The broker keeps the command no longer for a device that is away: it has a password in it. */
const COMMAND_MS = 600_000;
/** Its acknowledgement comes over the log, which may be behind; until then both passwords work. */
const ANSWER_MS = 86_400_000;
/** Between two tries with one device. */
const AGAIN_MS = 3_600_000;
/** Devices that a notice names. */
const NAMED = 20;
/** Handed over in one look, so that the broker's file is not written without end. */
const A_LOOK = 20;
const KEEPER = "the keeper";
const OPERATION = "rotate_credentials";

export function createKeeper(options: KeeperOptions): Keeper {
  const { credentials, book, link, observer, clock, newId } = options;
  /** When each device was last tried, within AGAIN_MS. */
  const tried = new Map<string, number>();
  const attempt = attempts(observer, "device credentials");

  const tell = (act: CredentialAct, one: Credential): void =>
    observer.emit({
      type: "device_credentials",
      act,
      address: addressOf(one),
      username: one.username,
    });

  async function end(
    act: CredentialAct,
    ended: readonly Credential[],
  ): Promise<void> {
    await credentials.end(ended, KEEPER);
    for (const one of ended) tell(act, one);
  }

  async function mend(): Promise<void> {
    const createdBeforeMs = clock() - CUT_OFF_MS;
    await end(
      "mended",
      await book.find({ states: HALF_DONE, createdBeforeMs }),
    );
  }

  async function retire(): Promise<void> {
    const endsBeforeMs = clock();
    await end("ended", await book.find({ states: ["retiring"], endsBeforeMs }));
  }

  async function hearAnswers(): Promise<void> {
    for (const one of await book.find({ states: ["offered"] })) {
      const ok = await book.answer(one, one.cmdId ?? "");
      if (ok === true)
        for (const taken of await credentials.activate([one]))
          tell("taken", taken);
      else if (ok === false || (one.endsMs ?? 0) < clock())
        await end("not_taken", [one]);
    }
  }

  async function replaceDue(): Promise<void> {
    const due = await credentials.due();
    const nowMs = clock();
    observer.emit({
      type: "device_credentials_due",
      due: due.length,
      overdue: due.filter(({ expiresMs }) => (expiresMs ?? Infinity) < nowMs)
        .length,
      devices: due.slice(0, NAMED).map(addressOf),
    });
    for (const [at, triedMs] of tried)
      if (triedMs <= nowMs - AGAIN_MS) tried.delete(at);
    if (!link.connected()) return;
    const offered = new Set(
      (await book.find({ states: ["offered"] })).map(addressOf),
    );
    const next = due.filter(
      (one) =>
        one.handsOver &&
        !offered.has(addressOf(one)) &&
        !tried.has(addressOf(one)),
    );
    for (const one of next.slice(0, A_LOOK)) {
      tried.set(addressOf(one), nowMs);
      await attempt(`handing over to ${addressOf(one)}`, () => handOver(one));
    }
  }

  async function handOver({
    tenant,
    deviceId,
    site,
  }: Credential): Promise<void> {
    const device = { tenant, deviceId, site, handsOver: true, by: KEEPER };
    const [issued] = await credentials.prepare([device]);
    if (issued === undefined) return;
    const cmdId = newId();
    const nowMs = clock();
    if (!(await book.offer(issued.username, cmdId, nowMs + ANSWER_MS)))
      return end("mended", [issued]);
    // When it fails the device may have it all the same: it stays offered, and both work.
    const delivery = await send(issued, cmdId, nowMs);
    if (delivery === "delivered") tell("offered", issued);
    else await credentials.end([issued], KEEPER);
  }

  function send(issued: IssuedCredential, cmdId: string, nowMs: number) {
    const { tenant, deviceId, site, username, password, clientId } = issued;
    return link.send(
      { address: addressOf(issued), tenant, deviceId, site, equipmentId: 0 },
      {
        cmdId,
        op: OPERATION,
        params: { username, password, client_id: clientId },
        by: KEEPER,
        createdUs: nowMs * 1000,
        expiresUs: (nowMs + COMMAND_MS) * 1000,
        queue: false,
        supersedes: null,
        precondition: null,
        extra: { answer_by: toIso((nowMs + ANSWER_MS) * 1000) },
      },
      nowMs,
    );
  }

  async function look(): Promise<boolean> {
    let mine = false;
    await attempt("looking", async () => {
      mine = await book.alone(async () => {
        await attempt("what cut-off acts left", mend);
        await attempt("answers", hearAnswers);
        await attempt("the end of overlaps", retire);
        await attempt("passwords that are due", replaceDue);
      });
    });
    return mine;
  }

  return { ...createRounds(EVERY_MS, look), look };
}
