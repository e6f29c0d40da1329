/** The web page's files, as `npm run build` leaves them: each plain and compressed. */
import { existsSync } from "node:fs";
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { PageFile, PageFiles } from "../gateway/routes/page.js";

const FOLDER = fileURLToPath(new URL("../../dashboard", import.meta.url));

/** Undefined where the page was not built: the routes are there all the same. */
export async function readPageFiles(
  folder: string = FOLDER,
): Promise<PageFiles | undefined> {
  if (!existsSync(join(folder, "index.html"))) return undefined;
  const names = (await readdir(folder, { recursive: true })).filter((name) =>
    /\.(html|js|css|svg)$/.test(name),
  );
  const entries = await Promise.all(
    names.map(async (name): Promise<[string, PageFile]> => {
      const path = join(folder, name);
      const [plain, br, gzip] = await Promise.all(
        [path, `${path}.br`, `${path}.gz`].map((one) => readFile(one)),
      );
      return [name, { plain: plain!, br: br!, gzip: gzip! }];
    }),
  );
  return new Map(entries);
}
