// What each client of the book finds: the real binary with the demo's users and the documents of known clients,
// and a person with Chromium who goes where a client prints that they should.
import assert from 'node:assert/strict';
import path from 'node:path';
import { after, before } from 'node:test';
import { launchBrowser, offeredScopes, readText } from '../../browser/browser.mjs';
import { Mandate, ROOT } from '../../browser/harness.mjs';

/** Named as a folder, they are not asked for: nothing here speaks to anybody outside. */
const DOCUMENTS = path.join(ROOT, 'src/authz/known_documents');

export class World {
  static async open({ toml = '' } = {}) {
    const world = new World();
    world.mandate = await Mandate.start({ toml: `[clients]\npreloaded_documents = "${DOCUMENTS}"\n${toml}` });
    try {
      world.browser = await launchBrowser(world.mandate.url);
    } catch (error) {
      await world.close();
      throw error;
    }
    return world;
  }

  get mcpUrl() {
    return this.mandate.mcpUrl;
  }

  /** Somebody at a browser of their own. */
  async person(username = 'alice') {
    return new Visitor(await this.browser.person(), username, this.mandate);
  }

  async close() {
    await this.browser?.close();
    await this.mandate.stop();
  }
}

/** For the tests of one file: a `world` with `alice` in it, there from the first test to the last. */
export function sharedWorld() {
  const here = {};
  before(async () => {
    here.world = await World.open();
    here.alice = await here.world.person();
  });
  after(async () => {
    await here.alice?.leave();
    await here.world?.close();
  });
  return here;
}

/** A person of the demo, who answers what clients ask. */
class Visitor {
  #isSignedIn = false;

  constructor(person, username, mandate) {
    Object.assign(this, { person, username, mandate });
  }

  /**
   * Opens the address that a client printed, allows what it asks, without the scopes of `untick`, and waits until
   * the client has the browser. Returns what the consent page said.
   */
  async allow(authorize, { untick = [] } = {}) {
    const asked = new URL(authorize);
    assert.equal(asked.origin, this.mandate.url, authorize);
    const callback = new URL(asked.searchParams.get('redirect_uri'));
    this.person.trust(callback.origin);
    const page = await this.person.newTab();
    await this.person.open(authorize, page);
    if (!this.#isSignedIn) await this.person.signIn(this.username, this.mandate.password(this.username), page);
    this.#isSignedIn = true;
    await page.getByRole('button', { name: 'Allow', exact: true }).waitFor();
    const consent = { asked, callback, scopes: await offeredScopes(page), text: await readText(page) };
    for (const scope of untick) await this.person.untick(scope, page);
    const arrived = page.waitForResponse((response) => {
      const url = new URL(response.url());
      return url.origin === callback.origin && url.pathname === callback.pathname;
    });
    await this.person.decide('Allow', page);
    const answer = await arrived;
    assert.ok(answer.status() < 400, `the client's page answered ${answer.status()}`);
    await page.close();
    return consent;
  }

  /** What the page of connected apps says. */
  async connectedApps() {
    await this.person.open(`${this.mandate.url}/account`);
    return readText(this.person.page);
  }

  /** Takes back everything that is shown as connected. */
  async revokeAll() {
    await this.person.open(`${this.mandate.url}/account`);
    const revoke = this.person.page.getByRole('button', { name: /^Revoke/ });
    for (let left = await revoke.count(); left > 0; left -= 1) {
      await revoke.first().click();
      await this.person.page.waitForLoadState();
    }
    assert.equal(await revoke.count(), 0);
  }

  async leave() {
    // The pages on which clients say that all went well have no icon, or nobody is left to serve it: that is theirs.
    const icon = /^console: Failed to load resource: (the server responded with a status of 404|net::ERR_(CONNECTION|EMPTY))/;
    if (this.person.complaints.some((complaint) => icon.test(complaint))) this.person.expect(icon);
    await this.person.leave();
  }
}
