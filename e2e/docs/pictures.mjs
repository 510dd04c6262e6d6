// Pages of the built book as people see them, on a desk and on a phone, into the folder of MANDATE_SCREENSHOTS. Fails when
// a page is wider than the phone.
import { createRequire } from 'node:module';
import { mkdir } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';

const { chromium } = createRequire(new URL('../browser/package.json', import.meta.url))('playwright-core');

const book = new URL('../../target/book/', import.meta.url);
const pictures = process.env.MANDATE_SCREENSHOTS ?? fileURLToPath(new URL('../../target/screenshots', import.meta.url));
const PAGES = ['quick-start', 'security/threats'];
const SIZES = { desktop: { width: 1280, height: 900 }, phone: { width: 390, height: 844 } };

await mkdir(pictures, { recursive: true });
const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM_BIN ?? '/usr/bin/chromium',
  args: ['--no-sandbox', '--disable-gpu', '--disable-background-networking'],
});
for (const [size, viewport] of Object.entries(SIZES)) {
  const page = await browser.newPage({ viewport });
  for (const name of PAGES) {
    await page.goto(new URL(`${name}.html`, book).href);
    const { wide, room } = await page.evaluate(() => ({
      wide: document.documentElement.scrollWidth,
      room: document.documentElement.clientWidth,
    }));
    if (wide > room) throw new Error(`${name} is ${wide} pixels wide on ${room}`);
    await page.screenshot({ path: `${pictures}/book-${name.replace('/', '-')}-${size}.png` });
  }
  await page.close();
}
await browser.close();
