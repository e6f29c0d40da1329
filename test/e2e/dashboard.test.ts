/** The web page as a person uses it, in a real browser, on a system that runs. */
import { writeFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import type { Locator, Page } from "playwright-core";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { type Tab, whyNoBrowser, withBrowser } from "../support/browser.js";
import { type Running, withRunning } from "../support/fleet.js";
import { partitionOf } from "../../src/domain/partition.js";
import { runCommand } from "../support/roles.js";
import { type TcpProxy, withTcpProxy } from "../support/tcp-proxy.js";
import { until } from "../support/wait.js";
import { connectDevice, type MqttDevice } from "./mqtt-device.js";

const test = suite("web page in a browser");

const PASSWORD = "correct horse battery";
const PICTURES = resolve(".twinstream/screenshots");
/** Of `iot-data`, as the settings have it. */
const PARTITIONS = 12;
const DEVICES = 10_000;
/** Bytes of a file, and bytes a second of a line on which its way can be watched. */
const FILE_BYTES = 400_000;
const LINE_BYTES = 200_000;
/** Milliseconds in which what was refused is there again: sooner than it would be asked for as a matter of course. */
const SOON_MS = 8000;
/** Frames of scrolling that are measured. */
const FRAMES = 120;

/** A message of now, or of so many seconds ago. */
const v1 = (temperature: number, agoS = 0): object => ({
  schema: "v1",
  ts: Date.now() - agoS * 1000,
  points: [
    { name: "temperature", t: "float", v: temperature, u: "°C" },
    { name: "compressor_on", t: "bool", v: temperature > 20 },
    { name: "status", t: "enum", v: temperature > 20 ? "RUN" : "STOP" },
  ],
});

async function addUser(running: Running, name: string, role: string) {
  const { code, output } = await runCommand(
    ["users", "add", name, "--role", role, "--password-stdin"],
    running.env,
    PASSWORD,
  );
  assert.is(code, 0, output);
}

async function logIn({ page }: Tab, url: string, name: string): Promise<void> {
  await page.goto(url);
  await page.getByLabel("User name").fill(name);
  await page.getByLabel("Password").fill(PASSWORD);
  await page.getByRole("button", { name: "Log in" }).click();
  await page.getByRole("navigation", { name: "Pages" }).waitFor();
}

/** A device that says something every second and acknowledges what it is told. */
async function talkingDevice(
  running: Running,
  id: string,
): Promise<MqttDevice> {
  const device = await connectDevice(running, id);
  device.onCommand(({ cmd_id }) => {
    void device.ack({
      cmd_id,
      ok: true,
      ts_exec: new Date().toISOString(),
      err: null,
    });
  });
  for (let i = 0; i < 5; i++) await device.data(v1(20 + i, 5 - i));
  return device;
}

/**
 * One that is in quarantine before it says anything: what it sends then is a dead letter that a replay can store. It hears
 * commands, and answers none.
 */
async function quarantinedDevice(
  running: Running,
  id: string,
): Promise<MqttDevice> {
  await running.database.query(
    `INSERT INTO equipments (tenant_id, equip_uuid, topics, log_partition, quarantined_until)
     VALUES ('default', $1, 'flat', $2, now() + interval '1 hour')`,
    [id, partitionOf(id, PARTITIONS)],
  );
  const device = await connectDevice(running, id);
  await device.data(v1(30));
  return device;
}

const why = await whyNoBrowser();
if (why === null)
  test("an operator logs in, watches, commands, looks back, replays, uploads", () =>
    withRunning({ AUTH: "on" }, async (running) => {
      await running.start("all");
      await addUser(running, "ana", "operator");
      await addUser(running, "vera", "viewer");
      const device = await talkingDevice(running, "press-7");
      const mute = await quarantinedDevice(running, "lathe-3");
      await withBrowser(PICTURES, async (open) => {
        const desk = await open();
        await withTcpProxy(running.http, async (line) => {
          await logIn(desk, line.url, "ana");
          await looksAtTheFleet(desk);
          await watchesTheDevice(desk, line.url, device);
          await commandsTheDevice(desk);
          await looksBack(desk);
          await missesNothing(desk, running, line, device);
          await replaysALetter(desk);
          await dropsALetter(desk, running, device);
          await cancelsACommand(desk, line.url, mute);
          await uploadsAFile(desk);
          await dropsAFile(desk, running.folder);
          await scrollsThroughTenThousand(desk, line.url);
          await leavesAndComesBack(desk, line.url);
        });
        // The console's words on the file that was refused, and on connections that were cut.
        const expected =
          /status of 400 .*\/telemetry\/bulk\)$|: net::ERR_[A-Z_]+ \(/;
        assert.equal(
          desk.complaints.filter((one) => !expected.test(one)),
          [],
        );

        const phone = await open({ width: 360, height: 740, dark: true });
        await logIn(phone, running.http, "vera");
        await seesAsAViewerOnAPhone(phone, running.http);
        assert.equal(phone.complaints, []);
      });
      console.log(`kept: pictures of the web page in ${PICTURES}`);
    }));
else {
  console.log(`skipped: the web page in a browser: no chromium: ${why}`);
  test.skip("an operator logs in, watches, commands, looks back, replays, uploads", () =>
    undefined);
}

async function isWell(tab: Tab, name: string): Promise<void> {
  assert.equal(await tab.barriers(), [], `accessibility of ${name}`);
  const overflow = await tab.page.evaluate(
    "document.documentElement.scrollWidth - document.documentElement.clientWidth",
  );
  assert.is(overflow, 0, `${name} is wider than its window`);
  await tab.picture(name);
}

async function looksAtTheFleet(tab: Tab): Promise<void> {
  const { page } = tab;
  await page.locator('[data-tile="Online"]', { hasText: /^[12]$/ }).waitFor();
  await page.locator('[data-tile="In quarantine"]', { hasText: "1" }).waitFor();
  await page.locator('[data-tile="Dead letters"]', { hasText: "1" }).waitFor();
  await page.getByText("all well").waitFor();
  await page.locator(".bars").getByText("RUN").waitFor();
  await isWell(tab, "fleet");
  // By keyboard alone: past the way around, and to the devices.
  await page.keyboard.press("Tab");
  await page.getByRole("link", { name: "Skip to the content" }).press("Enter");
  assert.is(await page.evaluate("document.activeElement.id"), "main");
  await page.getByRole("link", { name: "Devices" }).press("Enter");
  await page.getByRole("heading", { name: "Devices" }).waitFor();
  await isAtHeading(page);
}

async function watchesTheDevice(
  tab: Tab,
  base: string,
  device: MqttDevice,
): Promise<void> {
  const { page } = tab;
  await page.getByLabel("Search devices").fill("press");
  await page.getByText("1 of 2 shown").waitFor();
  await isWell(tab, "devices");
  await page.getByRole("link", { name: "press-7" }).click();
  await page.waitForURL(`${base}/ui/devices/press-7`);
  const temperature = page.locator('[data-point="temperature"]');
  await temperature.filter({ hasText: /^24$/ }).waitFor();
  await page.locator(".live.on").waitFor();
  for (const value of [41.5, 42.25]) {
    await device.data(v1(value));
    await temperature.filter({ hasText: String(value) }).waitFor();
  }
  await isWell(tab, "device");
}

async function commandsTheDevice({ page, picture }: Tab): Promise<void> {
  await page.getByRole("button", { name: "Send a command" }).click();
  await page.getByRole("button", { name: "Send", exact: true }).click();
  await page.getByText("Say what the device is to do.").waitFor();
  await page.getByLabel("Operation").fill("set_speed");
  await page.getByLabel("Parameters (JSON)").fill("{rpm: 900}");
  await page.getByRole("button", { name: "Send", exact: true }).click();
  await page.getByText("This is no JSON").waitFor();
  await page.getByLabel("Parameters (JSON)").fill('{"rpm": 900}');
  await picture("command");
  await page.getByRole("button", { name: "Send", exact: true }).click();
  const command = page.locator(".commands > li").first();
  await command.locator("summary .badge", { hasText: "acked" }).waitFor();
  for (const state of ["queued", "sent", "delivered", "acked"])
    await command.locator(".steps strong", { hasText: state }).waitFor();
}

async function looksBack(tab: Tab): Promise<void> {
  const { page } = tab;
  const chart = page.locator('.panel:has-text("temperature") .chart');
  await chart.locator("canvas").waitFor();
  await page.getByRole("button", { name: "Explain temperature" }).click();
  const dialog = page.getByRole("dialog");
  await dialog.getByText("the row holds what this record says").waitFor();
  await page.keyboard.press("Escape");
  await dialog.waitFor({ state: "detached" });
  assert.is(
    await page.evaluate("document.activeElement.ariaLabel"),
    "Explain temperature",
  );
  for (const range of ["5h", "1d", "1y", "1h"]) {
    await page.getByRole("button", { name: range, exact: true }).click();
    await page
      .locator(`.panels[data-range="${range}"] canvas`)
      .first()
      .waitFor();
  }
}

/** The line is cut twice: once the stream has told something that it can go on from, and once it has told nothing yet. */
async function missesNothing(
  tab: Tab,
  running: Running,
  line: TcpProxy,
  device: MqttDevice,
): Promise<void> {
  const { page, picture } = tab;
  const stretches = page.locator('.bands[aria-label^="status:"]');
  for (const [fresh, values] of [
    [false, [11, 51, 12]],
    [true, [52, 13, 53]],
  ] as const) {
    if (fresh) await page.reload();
    await page.locator(".live.on").waitFor();
    const before = /(\d+) stretches/.exec(
      (await stretches.getAttribute("aria-label")) ?? "",
    );
    line.shut();
    const away = page.locator(".live.away", { hasText: "reconnecting" });
    await away.waitFor();
    const word = (await away.boundingBox())!;
    const side = (await page.locator(".sidebar").boundingBox())!;
    assert.ok(
      word.x + word.width < side.x + side.width,
      "there is room for it",
    );
    for (const value of values) {
      await device.data(v1(value));
      await until(
        async () => {
          const { rowCount } = await running.database.query(
            "SELECT FROM ts_measure WHERE device_id = $1 AND v_num = $2",
            [device.id, value],
          );
          return rowCount === 1;
        },
        { withinMs: 20_000, what: `the reading ${value} to be stored` },
      );
    }
    // Somebody who comes back to the tab is told at once that it is not up to date.
    await page.evaluate(
      "document.dispatchEvent(new Event('visibilitychange'))",
    );
    await page.getByText("Not up to date").first().waitFor();
    if (fresh) await picture("reconnecting");
    line.open();
    await page.locator(".live.on").waitFor();
    // Each of them began a stretch of its own.
    const now = values[2] > 20 ? "RUN" : "STOP";
    const count = Number(before?.[1]) + values.length;
    await page
      .locator(`.bands[aria-label="status: ${count} stretches, now ${now}"]`)
      .waitFor();
    await page
      .locator('[data-point="temperature"]', { hasText: String(values[2]) })
      .waitFor();
    await page
      .getByText("Not up to date")
      .first()
      .waitFor({ state: "detached", timeout: SOON_MS });
  }
}

/** Moves the focus as a person without a mouse does. */
async function tabTo(
  page: Page,
  target: Locator,
  key: "Tab" | "Shift+Tab" = "Tab",
): Promise<void> {
  await target.waitFor();
  for (let presses = 0; presses < 60; presses++) {
    if ((await target.and(page.locator(":focus")).count()) > 0) return;
    await page.keyboard.press(key);
  }
  throw new Error(`the keyboard does not reach ${String(target)}`);
}

async function pressAt(
  page: Page,
  target: Locator,
  key: "Tab" | "Shift+Tab" = "Tab",
): Promise<void> {
  await tabTo(page, target, key);
  await page.keyboard.press("Enter");
}

const isAtHeading = (page: Page) => page.locator("#heading:focus").waitFor();

async function replaysALetter(tab: Tab): Promise<void> {
  const { page } = tab;
  await page.getByRole("link", { name: "Dead letters" }).click();
  const quarantine = page.locator(".card", { hasText: "Quarantine" }).last();
  await quarantine.getByRole("button", { name: "Release" }).click();
  await page.getByRole("button", { name: "Release it" }).click();
  await quarantine.getByText("No device is in quarantine").waitFor();
  await page.locator(".cause-link", { hasText: "quarantined" }).waitFor();
  await isWell(tab, "dead-letters");
  await page.locator(".cause-link", { hasText: "quarantined" }).click();
  await page.getByRole("button", { name: "Dry run" }).click();
  await page.getByText("1 message with 3 readings would be stored").waitFor();
  await page.locator(".letters summary").first().click();
  await page.locator(".letters pre").waitFor();
  await isWell(tab, "cause");
  await page.getByRole("button", { name: "Replay", exact: true }).click();
  await page
    .getByRole("dialog")
    .getByRole("button", { name: "Replay", exact: true })
    .click();
  await page.locator(".notice .badge", { hasText: "1 stored" }).waitFor();
}

/** By keyboard alone, as is what follows until the mouse drags a file. */
async function dropsALetter(
  tab: Tab,
  running: Running,
  device: MqttDevice,
): Promise<void> {
  const { page } = tab;
  await device.data({ schema: "v1", ts: "yesterday", points: [] });
  await pressAt(
    page,
    page.getByRole("link", { name: "← Dead letters" }),
    "Shift+Tab",
  );
  await isAtHeading(page);
  const cause = page.locator(".cause-link");
  await cause.filter({ hasNotText: "quarantined" }).waitFor();
  assert.is(await cause.count(), 1, "the replayed one waits for nobody");
  await pressAt(page, cause);
  await isAtHeading(page);
  const fingerprint = decodeURIComponent(page.url().split("/").at(-1)!);
  const drop = page
    .locator("main")
    .getByRole("button", { name: "Drop", exact: true });
  const dialog = page.getByRole("dialog");
  await pressAt(page, drop);
  await pressAt(page, dialog.getByRole("button", { name: "Leave it" }));
  await dialog.waitFor({ state: "detached" });
  await drop.and(page.locator(":focus")).waitFor();
  await page.keyboard.press("Enter");
  await pressAt(
    page,
    dialog.getByRole("button", { name: "Drop", exact: true }),
  );
  await dialog.waitFor({ state: "detached" });
  await page.getByText("1 letter dropped").waitFor();
  await page.locator(".letters .badge", { hasText: "dropped" }).waitFor();
  await page.getByText("Nothing is left to do").waitFor();
  assert.is(await drop.count(), 0);
  await page.locator(".cause-text:focus").waitFor();
  await isWell(tab, "dropped");
  await pressAt(
    page,
    page.getByRole("link", { name: "← Dead letters" }),
    "Shift+Tab",
  );
  await page.getByText("No message waits for anybody").waitFor();
  const { rows } = await running.database.query<{ state: string }>(
    "SELECT state FROM ingest_errors WHERE fingerprint = $1",
    [fingerprint],
  );
  assert.equal(rows, [{ state: "dropped" }]);
}

async function cancelsACommand(
  tab: Tab,
  base: string,
  mute: MqttDevice,
): Promise<void> {
  const { page } = tab;
  await mute.hello();
  await page.goto(`${base}/ui/devices/${mute.id}`);
  const dialog = page.getByRole("dialog");
  await pressAt(page, page.getByRole("button", { name: "Send a command" }));
  await tabTo(page, page.getByLabel("Operation"));
  await page.keyboard.type("jog");
  await page.keyboard.press("Enter");
  await dialog.waitFor({ state: "detached" });
  const command = page.locator(".commands > li").first();
  const badge = command.locator("summary .badge");
  await badge.filter({ hasText: "delivered" }).waitFor();
  const cancel = command.getByRole("button", { name: "Cancel it" });
  await pressAt(page, cancel);
  await pressAt(page, dialog.getByRole("button", { name: "Leave it" }));
  await dialog.waitFor({ state: "detached" });
  // The focus is where it was before the question.
  await cancel.and(page.locator(":focus")).waitFor();
  await page.keyboard.press("Enter");
  await pressAt(
    page,
    dialog.getByRole("button", { name: "Cancel the command" }),
  );
  await dialog.waitFor({ state: "detached" });
  await page.getByText("jog is canceled").waitFor();
  await badge.filter({ hasText: "canceled" }).waitFor();
  await command
    .locator(".steps > li", { hasText: "canceled" })
    .getByText("by ana; it had been sent and may be executed")
    .waitFor();
  assert.is(await cancel.count(), 0);
  await command.locator("summary:focus").waitFor();
  await isWell(tab, "canceled");
}

async function uploadsAFile(tab: Tab): Promise<void> {
  const { page } = tab;
  const timestamp = new Date(Date.now() - 60_000).toISOString();
  const reading = (sensor_uuid: string, valor: unknown) => ({
    sensor_uuid,
    sensor_tipo: "temperatura",
    valor,
    timestamp,
  });
  const body = [
    { equip_uuid: "freezer-1", sensor: [reading("inner", 4.5)] },
    {
      equip_uuid: "freezer-2",
      sensor: [reading("inner", "warm"), reading("inner", 5)],
    },
  ];
  await pressAt(page, page.getByRole("link", { name: "Uploads" }), "Shift+Tab");
  await isAtHeading(page);
  await isWell(tab, "uploads");
  const choose = async (named: ReturnType<typeof file>): Promise<void> => {
    const asked = page.waitForEvent("filechooser");
    await pressAt(page, page.getByRole("button", { name: "choose files" }));
    await (await asked).setFiles(named);
  };
  const file = (name: string, text: string) => ({
    name,
    mimeType: "application/json",
    buffer: Buffer.from(text),
  });
  await choose(file("broken.json", '[{"equip_uuid": 7}]'));
  await page.getByRole("alert").getByText("$[0]").first().waitFor();
  await page.route(
    /\/telemetry\/bulk$/,
    (route) => route.abort("connectionreset"),
    { times: 1 },
  );
  await choose(file("readings.json", JSON.stringify(body)));
  await page.getByText("The connection broke off").waitFor();
  await pressAt(page, page.getByRole("button", { name: "Try again" }));
  await pressAt(page, page.getByRole("link", { name: "taken, see its claim" }));
  await isAtHeading(page);
  await page.locator(".page-head .badge", { hasText: "done" }).waitFor();
  await isWell(tab, "claim");
}

/** By the mouse: the browser's own drag of a file of the disk. */
async function dropsAFile(tab: Tab, folder: string): Promise<void> {
  const { page, picture } = tab;
  const reading = {
    sensor_uuid: "inner",
    sensor_tipo: "temperatura",
    valor: 6.25,
    timestamp: new Date(Date.now() - 30_000).toISOString(),
  };
  const body = [{ equip_uuid: "freezer-3", sensor: [reading] }];
  const path = join(folder, "dragged.json");
  await writeFile(path, JSON.stringify(body).padEnd(FILE_BYTES));
  await page.getByRole("link", { name: "← Uploads" }).click();
  const browser = await page.context().newCDPSession(page);
  const drag = async (
    type: "dragEnter" | "dragOver" | "drop",
    over: Locator,
  ): Promise<void> => {
    const { x, y, width, height } = (await over.boundingBox())!;
    await browser.send("Input.dispatchDragEvent", {
      type,
      x: x + width / 2,
      y: y + height / 2,
      data: { items: [], files: [path], dragOperationsMask: 1 },
    });
  };
  const area = page.getByRole("region", { name: "Upload files" });
  const taking = area.getByText("Let go, and it is sent");
  const sendings = area.locator(".sendings > li");
  assert.is(await sendings.count(), 2, "those of before are still told of");

  // Beside the area nothing happens; least of all is the page left for the file.
  const heading = page.getByRole("heading", { name: "Uploads" });
  await drag("dragEnter", area);
  await taking.waitFor();
  await drag("dragOver", heading);
  await taking.waitFor({ state: "detached" });
  await drag("drop", heading);

  await browser.send("Network.emulateNetworkConditions", {
    offline: false,
    latency: 0,
    downloadThroughput: -1,
    uploadThroughput: LINE_BYTES,
  });
  await drag("dragEnter", area);
  await drag("dragOver", area.getByRole("button", { name: "choose files" }));
  await taking.waitFor();
  await picture("drop");
  await drag("drop", area);
  await taking.waitFor({ state: "detached" });
  assert.is(await sendings.count(), 3);
  await sendings
    .locator('progress:not([value="0"]):not([value="1"])')
    .waitFor();
  await picture("upload");
  // What is under way goes on while another page is looked at.
  await page.getByRole("link", { name: "Fleet" }).click();
  await page.getByRole("heading", { name: "Fleet" }).waitFor();
  await page.getByRole("link", { name: "Uploads" }).click();
  const sending = sendings.first();
  await sending.getByText("dragged.json").waitFor();
  await sending.getByRole("link", { name: "taken, see its claim" }).waitFor();
  await browser.detach();
  const claim = page.locator(".claims > li").first();
  await claim.locator(".badge", { hasText: "done" }).waitFor();
  await claim.getByText("1 reading").waitFor();
}

async function scrollsThroughTenThousand(
  { page, picture }: Tab,
  base: string,
): Promise<void> {
  const last_seen = new Date().toISOString();
  const devices = Array.from({ length: DEVICES }, (_, i) => ({
    device_id: `unit-${String(i).padStart(5, "0")}`,
    tenant: "default",
    online: i % 7 !== 0,
    last_seen,
    cause: i % 7 === 0 ? "silent" : null,
  }));
  await page.route(/\/api\/v1\/devices\?all=1/, (route) => {
    const from = Number(
      new URL(route.request().url()).searchParams.get("cursor") ?? 0,
    );
    const next = from + 5000 < DEVICES ? String(from + 5000) : null;
    return route.fulfill({
      json: { devices: devices.slice(from, from + 5000), next },
    });
  });
  // Nothing is live of devices that are not there.
  await page.route(/\/api\/v1\/live/, (route) =>
    route.fulfill({
      contentType: "text/event-stream",
      body: "event: ready\ndata: {}\n\n",
    }),
  );
  await page.goto(`${base}/ui/devices`);
  await page.getByText(/of 10\s000 shown/).waitFor();
  const frames = (await page.evaluate(`new Promise((done) => {
    const times = [];
    let last = performance.now();
    const step = (now) => {
      times.push(now - last);
      last = now;
      scrollBy(0, 900);
      if (times.length < ${FRAMES}) requestAnimationFrame(step);
      else done(times.slice(1).sort((a, b) => a - b));
    };
    requestAnimationFrame(step);
  })`)) as number[];
  const at = (part: number): string =>
    frames[Math.floor(frames.length * part)]!.toFixed(1);
  console.log(
    `\nkept: ${DEVICES} devices scrolled 900 px a frame: median ${at(0.5)} ms a frame, p95 ${at(0.95)} ms`,
  );
  const rows = page.locator(".table-rows .table-row");
  assert.ok((await rows.count()) < 60, "only rows in sight are there");
  await page.evaluate("scrollTo(0, 1e9)");
  await page.getByRole("link", { name: "unit-09999" }).waitFor();
  await picture("ten-thousand");
  await page.getByLabel("Search devices").fill("silent 00777");
  await page.getByText(/^1 of/).waitFor();
  await page.unroute(/\/api\/v1\/devices\?all=1/);
  await page.unroute(/\/api\/v1\/live/);
}

async function leavesAndComesBack({ page }: Tab, base: string): Promise<void> {
  await page.goto(`${base}/ui/devices/press-7?range=5h`);
  await page.locator('.panels[data-range="5h"]').waitFor();
  // A reload goes on with the session, and the address is where it was.
  await page.reload();
  await page.locator('.panels[data-range="5h"]').waitFor();
  await page.getByRole("button", { name: "Dark colours" }).click();
  assert.is(
    await page.evaluate("document.documentElement.dataset.theme"),
    "dark",
  );
  await page.getByRole("button", { name: "Log out" }).click();
  await page.getByRole("heading", { name: "Log in" }).waitFor();
  await page.reload();
  await page.getByRole("heading", { name: "Log in" }).waitFor();
}

async function seesAsAViewerOnAPhone(tab: Tab, base: string): Promise<void> {
  const { page } = tab;
  await page.locator('[data-tile="Online"]').waitFor();
  assert.is(await page.getByRole("link", { name: "Dead letters" }).count(), 0);
  await isWell(tab, "phone-fleet");
  await page.goto(`${base}/ui/devices`);
  await page.getByRole("link", { name: "press-7" }).click();
  await page.locator('.panel:has-text("temperature") canvas').first().waitFor();
  assert.is(
    await page.getByRole("button", { name: "Send a command" }).count(),
    0,
  );
  await isWell(tab, "phone-device");
  await page.goto(`${base}/ui/uploads`);
  await page.getByText("3 readings").first().waitFor();
  assert.is(await page.getByText("choose files").count(), 0);
  await isWell(tab, "phone-uploads");
}

test.run();
