/**
 * Tickets: a browser can give neither an EventSource nor a WebSocket an Authorization header, and an access token in an
 * address would be kept by every proxy's log. A ticket is good once and for half a minute; what it opens ends with the access
 * token that it was got with.
 */
import { createHash, randomBytes } from "node:crypto";
import type { TicketHolder, TicketStore } from "../../ports.js";

export const TICKET_S = 30;
const TICKET_BYTES = 32;
/** As `offer` makes them. */
const TICKET = /^[A-Za-z0-9_-]{43}$/;

/** A new ticket. @throws VIEW_UNREACHABLE */
export async function offerTicket(
  tickets: TicketStore,
  holder: TicketHolder,
): Promise<string> {
  const ticket = randomBytes(TICKET_BYTES).toString("base64url");
  await tickets.put(hashOf(ticket), holder, TICKET_S * 1000);
  return ticket;
}

/** Whose it is; null for one that is good for nothing, or not any more. @throws VIEW_UNREACHABLE */
export function takeTicket(
  tickets: TicketStore,
  ticket: string,
): Promise<TicketHolder | null> {
  return TICKET.test(ticket)
    ? tickets.take(hashOf(ticket))
    : Promise.resolve(null);
}

/** 256 random bits: one fast hash is enough. */
const hashOf = (ticket: string): Buffer =>
  createHash("sha256").update(ticket).digest();
