// Takes the pictures of docs/operations/temporal-ui.md from a running Temporal UI. Called by tools/screenshots.py, which
// hands over what to take: node tools/screenshots.mjs MODULES CHROMIUM JOBS.json
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";

const [modules, chromiumPath, jobsPath] = process.argv.slice(2);
const { chromium } = createRequire(`${modules}/`)("playwright-core");
const [WIDTH, HEIGHT, SIDEBAR, TOP] = [1360, 1600, 256, 48]; // of the window, and of what frames each page
const jobs = JSON.parse(readFileSync(jobsPath, "utf-8"));

const browser = await chromium.launch({ executablePath: chromiumPath, args: ["--no-sandbox", "--force-color-profile=srgb"] });
const page = await browser.newPage({ viewport: { width: WIDTH, height: HEIGHT }, timezoneId: "UTC", locale: "en-GB" });
page.setDefaultTimeout(45_000);

// In whichever frame: the UI shows Markdown in one of its own.
async function find(text) {
  const deadline = Date.now() + 45_000;
  for (;;) {
    for (const frame of page.frames()) {
      const found = frame.getByText(text).first();
      // Not `isVisible`: the rows of a timeline are texts of an SVG, which never count as visible.
      if (await found.count().catch(() => 0)) return found;
    }
    if (Date.now() > deadline) throw new Error(`${page.url()} does not show ${text}`);
    await page.waitForTimeout(200);
  }
}

try {
  for (const job of jobs) {
    await page.goto(job.url);
    for (const text of job.click) await (await find(text)).click({ force: true });
    await find(job.awaits);
    let y = TOP;
    if (job.top) {
      // Begin at what the picture is about; the page scrolls inside of itself, as far as it goes.
      const first = await find(job.top);
      await first.evaluate((element) => element.scrollIntoView({ block: "start" }));
      await page.waitForTimeout(700); // transitions
      y = Math.max(TOP, ((await first.boundingBox())?.y ?? TOP) - 16);
    }
    await page.waitForTimeout(700);
    const height = Math.min(job.height, HEIGHT - y);
    await page.screenshot({ path: job.file, clip: { x: SIDEBAR, y, width: WIDTH - SIDEBAR, height } });
    console.log(`took ${job.file}`);
  }
} finally {
  await browser.close();
}
