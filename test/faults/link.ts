/** The network between a fleet and its broker, in a thread of its own that takes what the others leave of the processors. */
import { once } from "node:events";
import { Worker } from "node:worker_threads";

export interface LinkApart {
  /** The broker's URL, by way of it. */
  readonly url: string;
  /** Breaks every connection, and takes no new one; answers how many there were. */
  cut(): Promise<number>;
  restore(): void;
  close(): Promise<unknown>;
}

export type ToLink = "cut" | "restore";
export type FromLink = { readonly url: string } | { readonly cut: number };

/** @param brokerUrl mqtt://…, without TLS */
export async function openLinkApart(brokerUrl: string): Promise<LinkApart> {
  const thread = new Worker(new URL("./link-thread.js", import.meta.url), {
    workerData: brokerUrl,
  });
  const tell = (act: ToLink): void => thread.postMessage(act);
  const heard = async (): Promise<FromLink> => {
    const [said] = (await once(thread, "message")) as [FromLink];
    return said;
  };
  const first = await heard();
  if (!("url" in first)) throw new Error("the link said something else");
  return {
    url: first.url,
    async cut() {
      tell("cut");
      const said = await heard();
      return "cut" in said ? said.cut : 0;
    },
    restore: () => tell("restore"),
    close: () => thread.terminate(),
  };
}
