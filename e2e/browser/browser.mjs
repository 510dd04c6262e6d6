// Chromium, and a person in it. Whatever a person does, the browser is watched: a request to a stranger,
// a breach of the content security policy or an error on the console fails the test.
import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { chromium } from 'playwright-core';

const EXECUTABLE = process.env.CHROMIUM_BIN ?? '/usr/bin/chromium';
const FLAGS = [
  '--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run',
  '--disable-background-networking', '--disable-component-update', '--disable-sync',
];
const STEP_LIMIT_MS = 10_000;

/** Chromium with exactly these flags and a fresh profile; `origin` is the product's. */
export async function launchBrowser(origin) {
  const profile = await mkdtemp(path.join(tmpdir(), 'mandate-chromium-'));
  const chrome = await chromium.launch({
    executablePath: EXECUTABLE,
    ignoreDefaultArgs: true,
    args: [...FLAGS, '--remote-debugging-pipe', `--user-data-dir=${profile}`, 'about:blank'],
  });
  return {
    version: chrome.version(),
    /** A person with an own cookie jar, at home at `visiting`. */
    async person({ visiting = origin, ...options } = {}) {
      const context = await chrome.newContext({ viewport: { width: 1280, height: 900 }, ...options });
      context.setDefaultTimeout(STEP_LIMIT_MS);
      return Person.enter(context, visiting);
    },
    async close() {
      await chrome.close();
      await rm(profile, { recursive: true, force: true });
    },
  };
}

/** A person at the browser: opens pages, signs in, decides. */
export class Person {
  #origins = new Set();
  #complaints = [];
  /** Pages that were refused: Chromium says so on the console, and the page itself is what we test. */
  #refused = new Set();

  static async enter(context, origin) {
    const person = new Person();
    person.trust(origin);
    person.context = context;
    // The event names the directive and the blocked address; it reaches us as a console error.
    await context.addInitScript(() =>
      document.addEventListener('securitypolicyviolation', (event) =>
        console.error(`policy breach: ${event.effectiveDirective} ${event.blockedURI}`)),
    );
    context.on('page', (page) => person.#watch(page));
    person.page = await context.newPage();
    return person;
  }

  #watch(page) {
    const complain = (text, url) => this.#complaints.push({ text, url });
    page.on('request', (request) => {
      if (!this.#mayBeAsked(request)) complain(`request to ${request.url()}`);
    });
    page.on('response', (response) => {
      if (response.status() >= 500) complain(`${response.status()} from ${response.url()}`);
      if (response.status() >= 400 && response.request().isNavigationRequest()) this.#refused.add(response.url());
    });
    page.on('console', (message) => {
      if (message.type() === 'error') complain(`console: ${message.text()}`, message.location().url);
    });
    page.on('pageerror', (error) => complain(`script error: ${error.message}`));
  }

  /** A further origin that may be asked. */
  trust(origin) {
    this.#origins.add(origin);
  }

  /** A complaint that the test is about: there must be one, and it is struck from the list. */
  expect(pattern) {
    assert.ok(this.complaints.some((complaint) => pattern.test(complaint)), `no complaint like ${pattern}`);
    const follows = /Failed to load resource: net::ERR_(FAILED|BLOCKED_BY_RESPONSE)/;
    this.#complaints = this.#complaints.filter(({ text }) => !pattern.test(text) && !follows.test(text));
  }

  /** The trusted origins, and the client's loopback callback when the browser is sent there. */
  #mayBeAsked(request) {
    const url = new URL(request.url());
    if (url.protocol === 'data:' || this.#origins.has(url.origin)) return true;
    const isLoopback = ['localhost', '127.0.0.1'].includes(url.hostname);
    return isLoopback && url.pathname === '/callback' && request.isNavigationRequest();
  }

  /** What the watch has found so far. */
  get complaints() {
    const isRefusal = ({ text, url }) => text.startsWith('console: Failed to load resource') && this.#refused.has(url);
    return this.#complaints.filter((complaint) => !isRefusal(complaint)).map(({ text }) => text);
  }

  /** Opens an address in the first tab. */
  async open(url, page = this.page) {
    return page.goto(String(url));
  }

  /** A further tab of the same browser. */
  async newTab() {
    return this.context.newPage();
  }

  /** Fills the sign-in page and sends it. */
  async signIn(username, password, page = this.page) {
    await page.getByLabel('Username', { exact: true }).fill(username);
    await page.getByLabel('Password', { exact: true }).fill(password);
    await page.getByRole('button', { name: 'Sign in', exact: true }).click();
  }

  /** Presses `Allow` or `Deny`. */
  async decide(button, page = this.page) {
    await page.getByRole('button', { name: button, exact: true }).click();
  }

  /** Unticks one scope of the consent page. */
  async untick(scope, page = this.page) {
    await scopeBox(page, scope).uncheck();
  }

  async leave() {
    await this.context.close();
    assert.deepEqual(this.complaints, [], 'the browser had something to complain about');
  }
}

/** The checkbox of one scope on the consent page. */
export function scopeBox(page, scope) {
  return page.locator(`input[type="checkbox"][name="scope"][value="${scope}"]`);
}

/** All scopes that the consent page offers, in its order. */
export async function offeredScopes(page) {
  return page.locator('input[name="scope"]').evaluateAll((boxes) => boxes.map((box) => box.value));
}

/** What the consent page says about one scope: its label and its description. */
export async function scopeText(page, scope) {
  return page.locator('.scope').filter({ has: scopeBox(page, scope) }).innerText();
}

/** Everything a person can read on the page. */
export async function readText(page) {
  return page.locator('body').innerText();
}
