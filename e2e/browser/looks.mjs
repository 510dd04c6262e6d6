// How a page looks and whether everyone can use it: pictures for a person to look at, axe-core for the rules.
import assert from 'node:assert/strict';
import { mkdir } from 'node:fs/promises';
import path from 'node:path';
import { AxeBuilder } from '@axe-core/playwright';
import { ROOT } from './harness.mjs';

const FOLDER = process.env.MANDATE_SCREENSHOTS ?? path.join(ROOT, 'target/screenshots');
const DESKTOP = { width: 1280, height: 900 };
const PHONE = { width: 360, height: 740 };
/** The narrowest width at which nothing may scroll sideways (WCAG 1.4.10, Reflow). */
const REFLOW = { width: 320, height: 640 };
const RULES = ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'];

/**
 * Looks at the page as it stands: axe-core in light and dark, on a desktop and on a phone, and four pictures
 * named `<name>-<light|dark>[-phone].png`. The page is left as it was found.
 */
export async function look(page, name) {
  await mkdir(FOLDER, { recursive: true });
  await checkManners(page, name);
  // As on a phone, where a scroll bar takes no width.
  const session = await page.context().newCDPSession(page);
  await session.send('Emulation.setScrollbarsHidden', { hidden: true });
  for (const colorScheme of ['light', 'dark']) {
    await page.emulateMedia({ colorScheme });
    for (const [viewport, suffix] of [[DESKTOP, ''], [PHONE, '-phone']]) {
      await page.setViewportSize(viewport);
      await page.screenshot({ path: path.join(FOLDER, `${name}-${colorScheme}${suffix}.png`), fullPage: true });
      await checkRules(page, `${name}, ${colorScheme}${suffix}`);
    }
  }
  await checkReflow(page, name);
  await session.detach();
  await page.emulateMedia({ colorScheme: null });
  await page.setViewportSize(DESKTOP);
}

/** A picture of a page on which a test failed. */
export async function keepFailure(page, name) {
  await mkdir(FOLDER, { recursive: true });
  await page.bringToFront();
  const file = path.join(FOLDER, `FAILED-${name.replace(/[^a-z0-9]+/gi, '-')}.png`);
  await page.screenshot({ path: file, fullPage: true });
  return file;
}

/** One heading, a title of its own, a language, and no way to be framed or cached. */
async function checkManners(page, name) {
  const facts = await page.evaluate(() => ({
    title: document.title,
    lang: document.documentElement.lang,
    headings: document.querySelectorAll('h1').length,
    scripts: document.querySelectorAll('script:not([src])').length,
  }));
  assert.ok(facts.title.length > 3, `${name}: the page has a title`);
  assert.equal(facts.lang, 'en', `${name}: the page names its language`);
  assert.equal(facts.headings, 1, `${name}: the page has one first heading`);
  assert.equal(facts.scripts, 0, `${name}: the page has no inline script`);
}

async function checkRules(page, where) {
  const { violations } = await new AxeBuilder({ page }).withTags(RULES).analyze();
  const found = violations.map(({ id, help, nodes }) => `${id} (${help}): ${nodes.map((node) => node.html).join(' ')}`);
  assert.deepEqual(found, [], where);
}

async function checkReflow(page, name) {
  await page.setViewportSize(REFLOW);
  const width = await page.evaluate(() => document.documentElement.scrollWidth);
  assert.ok(width <= REFLOW.width, `${name}: scrolls sideways at ${REFLOW.width} px (${width} px wide)`);
}
