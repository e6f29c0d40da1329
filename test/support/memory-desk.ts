/** The gateway's side of the claims, in memory. */
import type { UploadClaim, UploadDesk } from "../../src/ports.js";

export interface MemoryDesk extends UploadDesk {
  /** By claim id; a test may put its own. */
  readonly claims: Map<string, UploadClaim>;
  /** These calls fail with it. */
  readonly fail: Map<keyof UploadDesk, Error>;
  /** Whether another process sweeps. */
  taken: boolean;
}

export function createMemoryDesk(): MemoryDesk {
  const claims = new Map<string, UploadClaim>();
  const fail = new Map<keyof UploadDesk, Error>();
  const reach = (call: keyof UploadDesk): void => {
    const error = fail.get(call);
    if (error !== undefined) throw error;
  };
  const of = (tenant: string, claimId: string): UploadClaim | null => {
    const claim = claims.get(claimId);
    return claim?.tenant === tenant ? claim : null;
  };
  const change = (claim: UploadClaim, to: Partial<UploadClaim>): void => {
    claims.set(claim.claimId, { ...claim, ...to });
  };
  const desk: MemoryDesk = {
    claims,
    fail,
    taken: false,
    async begin(given) {
      reach("begin");
      if (given.idempotencyKey !== null)
        for (const claim of claims.values())
          if (
            claim.tenant === given.tenant &&
            claim.idempotencyKey === given.idempotencyKey
          )
            return { begun: false, claim };
      const claim = newClaim(given);
      claims.set(claim.claimId, claim);
      return { begun: true, claim };
    },
    async stored(tenant, claimId, sizes) {
      reach("stored");
      const claim = of(tenant, claimId);
      if (claim?.state !== "receiving") throw new Error(`no claim ${claimId}`);
      change(claim, { ...sizes, state: "stored" });
    },
    async announced(tenant, claimId) {
      reach("announced");
      const claim = of(tenant, claimId);
      if (claim !== null) change(claim, { announced: true });
    },
    async forget(tenant, claimId) {
      reach("forget");
      const was = of(tenant, claimId)?.state === "receiving";
      if (was) claims.delete(claimId);
      return was;
    },
    async find(tenant, claimId) {
      reach("find");
      return of(tenant, claimId);
    },
    async list(tenant, { before, limit }) {
      reach("list");
      return [...claims.values()]
        .filter(
          (claim) =>
            claim.tenant === tenant &&
            claim.state !== "receiving" &&
            (before === null || claim.claimId < before),
        )
        .toSorted((a, b) => (a.claimId < b.claimId ? 1 : -1))
        .slice(0, limit);
    },
    async left(beforeMs, limit) {
      reach("left");
      return [...claims.values()]
        .filter(
          ({ state, announced, receivedMs }) =>
            receivedMs < beforeMs &&
            (state === "receiving" || (state === "stored" && !announced)),
        )
        .slice(0, limit);
    },
    async needed(keys) {
      reach("needed");
      const open = [...claims.values()].filter(
        ({ state }) => state !== "done" && state !== "rejected",
      );
      return new Set(
        open.map(({ key }) => key).filter((key) => keys.includes(key)),
      );
    },
    async alone(work) {
      reach("alone");
      if (desk.taken) return false;
      await work();
      return true;
    },
    ping: async () => reach("ping"),
    close: async () => undefined,
  };
  return desk;
}

/** A claim as it begins. */
export const newClaim = (
  given: Parameters<UploadDesk["begin"]>[0],
): UploadClaim => ({
  ...given,
  state: "receiving",
  fileSize: 0,
  originalSize: 0,
  sha256: "",
  announced: false,
  nextEquipment: 0,
  equipments: { total: null, stored: 0, failed: 0 },
  readings: { stored: 0, duplicate: 0, failed: 0 },
  errors: [],
  finishedMs: null,
});
