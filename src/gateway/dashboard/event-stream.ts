/** Server-Sent Events out of a stream of text, as the WHATWG writes them. Pure; the stream may be cut anywhere. */

export interface StreamEvent {
  readonly event: string;
  readonly data: string;
  /** The last id that the stream named, of this or an earlier event. */
  readonly id: string;
}

export function createEventReader(): {
  /** Events that this text completes. */
  take(text: string): StreamEvent[];
} {
  let rest = "";
  let event = "";
  let data: string[] = [];
  let id = "";
  return {
    take(text) {
      const found: StreamEvent[] = [];
      // A carriage return at the very end may yet get its line feed.
      const lines = (rest + text).split(/\r\n|\n|\r(?!$)/);
      rest = lines.pop() ?? "";
      for (const line of lines) {
        if (line === "") {
          if (data.length > 0)
            found.push({
              event: event || "message",
              data: data.join("\n"),
              id,
            });
          event = "";
          data = [];
          continue;
        }
        const colon = line.indexOf(":");
        const field = colon === -1 ? line : line.slice(0, colon);
        const value =
          colon === -1 ? "" : line.slice(colon + 1).replace(/^ /, "");
        if (field === "event") event = value;
        else if (field === "data") data.push(value);
        else if (field === "id" && !value.includes("\0")) id = value;
      }
      return found;
    },
  };
}
