/**
 * A headless Chromium, as a person's browser: Debian's own, installed where it is missing. What a page should never do is
 * collected while it is used: errors on its console, answers that it did not expect, and what its policy forbade.
 */
import { mkdir } from "node:fs/promises";
import { join, resolve } from "node:path";
import { pathToFileURL } from "node:url";
import axe from "axe-core";
import { type Browser, chromium, type Page } from "playwright-core";

/** Milliseconds that a page may take for whatever it is asked: a machine that runs other tests is slow. */
const PATIENCE_MS = 30_000;

export interface Tab {
  readonly page: Page;
  /** What went wrong since the tab was opened. */
  readonly complaints: readonly string[];
  /** Breaches of the accessibility rules WCAG 2.1 A and AA, one line each. */
  barriers(): Promise<string[]>;
  /** Keeps a picture; answers its path. */
  picture(name: string): Promise<string>;
}

export interface TabOptions {
  readonly width?: number;
  readonly height?: number;
  readonly dark?: boolean;
}

const load = async <T>(path: string): Promise<T> =>
  (await import(pathToFileURL(resolve(path)).href)) as T;

/** Path of the browser; a text that says why there is none is thrown as an error's message. */
async function findChromium(): Promise<string> {
  const { findProgram } = await load<{
    findProgram(name: string): string | null;
  }>("deploy/native/programs.mjs");
  const there = findProgram("chromium");
  if (there !== null) return there;
  const { installPackages } = await load<{
    installPackages(
      packages: string[],
      say: (line: string) => void,
      signal: AbortSignal,
    ): Promise<void>;
  }>("deploy/native/packages.mjs");
  const fiveMinutes = AbortSignal.timeout(300_000);
  await installPackages(["chromium"], () => undefined, fiveMinutes);
  const installed = findProgram("chromium");
  if (installed === null) throw new Error("its package brought no chromium");
  return installed;
}

/** Answers why there is no browser; null when there is one. */
export async function whyNoBrowser(): Promise<string | null> {
  try {
    await findChromium();
    return null;
  } catch (error) {
    return (error instanceof Error ? error.message : String(error))
      .split("\n", 1)
      .join();
  }
}

/** @param folder where pictures are kept */
export async function withBrowser(
  folder: string,
  work: (open: (options?: TabOptions) => Promise<Tab>) => Promise<void>,
): Promise<void> {
  await mkdir(folder, { recursive: true });
  const browser = await chromium.launch({
    executablePath: await findChromium(),
    // A container has neither a sandbox's rights nor much shared memory.
    args: ["--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"],
  });
  const tabs: Tab[] = [];
  try {
    await work(async (options = {}) => {
      const tab = await openTab(browser, folder, options);
      tabs.push(tab);
      return tab;
    });
  } catch (error) {
    const last = await Promise.all(
      tabs.map((tab, i) => tab.picture(`failed-${i + 1}`)),
    );
    console.log(`kept: what was on the screen: ${last.join(", ")}`);
    throw error;
  } finally {
    await browser.close();
  }
}

async function openTab(
  browser: Browser,
  folder: string,
  { width = 1280, height = 860, dark = false }: TabOptions,
): Promise<Tab> {
  const context = await browser.newContext({
    viewport: { width, height },
    colorScheme: dark ? "dark" : "light",
    reducedMotion: "reduce",
  });
  const page = await context.newPage();
  page.setDefaultTimeout(PATIENCE_MS);
  const complaints: string[] = [];
  page.on("pageerror", (error) => complaints.push(`thrown: ${error.message}`));
  page.on("console", (message) => {
    if (message.type() === "error" || message.type() === "warning")
      complaints.push(
        `${message.type()}: ${message.text()} (${message.location().url})`,
      );
  });
  // The console tells of them too, but not in every version.
  await page.addInitScript(
    `addEventListener("securitypolicyviolation", (event) =>
       console.error("policy: " + event.violatedDirective + " forbade " + event.blockedURI))`,
  );
  return {
    page,
    complaints,
    async barriers() {
      // As the browser's own tools do: the page's policy is not asked.
      await page.evaluate(axe.source);
      const found = (await page.evaluate(
        `axe.run(document, { runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa"] })`,
      )) as axe.AxeResults;
      return found.violations.flatMap(({ id, help, nodes }) =>
        nodes.map(({ target }) => `${id}: ${help} (${target.join(" ")})`),
      );
    },
    async picture(name) {
      const path = join(folder, `${name}.png`);
      await page.screenshot({ path });
      return path;
    },
  };
}
