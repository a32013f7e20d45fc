// Takes the pictures of docs/operations/temporal-ui.md from a running Temporal UI. Called by tools/screenshots.py, which
// hands over what to take: node tools/screenshots.mjs MODULES CHROMIUM JOBS.json
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";

const [modules, chromiumPath, jobsPath] = process.argv.slice(2);
const { chromium } = createRequire(`${modules}/`)("playwright-core");
const jobs = JSON.parse(readFileSync(jobsPath, "utf-8"));

const browser = await chromium.launch({ executablePath: chromiumPath, args: ["--no-sandbox", "--force-color-profile=srgb"] });
const page = await browser.newPage({ viewport: { width: 1180, height: 820 }, timezoneId: "UTC", locale: "en-GB" });
page.setDefaultTimeout(60_000);
try {
  for (const job of jobs) {
    await page.setViewportSize({ width: 1180, height: job.height });
    await page.goto(job.url);
    for (const text of job.click) {
      await page.getByText(text, { exact: false }).first().click();
    }
    await page.getByText(job.awaits, { exact: false }).first().waitFor();
    if (job.top) {
      // Begin at what the picture is about; the page scrolls inside of itself.
      await page.getByText(job.top, { exact: false }).first().evaluate((element) => {
        element.scrollIntoView({ block: "start" });
      });
    }
    await page.waitForTimeout(700); // transitions
    await page.screenshot({ path: job.file, clip: { x: 256, y: 48, width: 924, height: job.height - 48 } });
    console.log(`took ${job.file}`);
  }
} finally {
  await browser.close();
}
