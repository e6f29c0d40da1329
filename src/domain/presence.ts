/** Words and times of presence that processors, bridges and gateways share. */

/** Why a device is offline: by its own word or last will, or because nothing was heard of it for the time-out. */
export const DISCONNECTED = "disconnected";
export const SILENT = "silent";
/** Why a device of which nothing was heard is not called offline: silence may be that of a bridge, or our own. */
export const BRIDGE_DOWN = "bridge down";
export const BEHIND = "processor behind";

/** How often a bridge tells how far it is; a device falls silent by about so much later than its time-out. */
export const BEAT_MS = 2000;
/** Five beats: a bridge without one for so long is down, or has no broker or no log. */
export const BRIDGE_DOWN_MS = 5 * BEAT_MS;
