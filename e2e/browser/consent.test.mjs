// The consent page: what it tells, what a decision does, and that no habit of a browser breaks it.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { offeredScopes, readText, scopeBox } from './browser.mjs';
import { closeWorld, openWorld } from './harness.mjs';
import { journey } from './journey.mjs';

let world;
before(async () => (world = await openWorld()));
after(() => closeWorld(world));

const consentIn = (page) => page.getByRole('button', { name: 'Allow', exact: true });

/** Sends a signed-in person to the consent page of a client. */
async function arrive(walk, app, page = walk.person.page, username = 'alice') {
  await walk.person.open(await app.askForAuthorization(), page);
  if (await page.getByLabel('Password', { exact: true }).isVisible()) {
    await walk.person.signIn(username, walk.mandate.password(username), page);
  }
  await consentIn(page).waitFor();
}

test('the page says who asks, to what, and where the answer goes', ...journey(() => world, async (walk) => {
  const { page } = walk.person;
  const app = await walk.install({ name: 'Café Notebook <b>', registration: { document: world.documents } });
  await arrive(walk, app);
  const text = await readText(page);
  assert.ok(text.includes('Café Notebook <b>'), 'the name the client gives itself, as text');
  assert.ok(text.includes(world.documents.host), 'the proven host of the client');
  assert.ok(text.includes('127.0.0.1'), 'the host that the code goes to');
  assert.ok(text.includes('alice'), 'who is signed in');
  assert.ok((await offeredScopes(page)).includes('tickets:read'));
  for (const box of await page.locator('input[type="checkbox"][name="scope"]').all()) {
    assert.equal(await box.isChecked(), true);
    assert.ok(await box.evaluate((input) => input.labels?.[0]?.innerText.trim().length > 10), 'a scope in plain words');
  }
}));

test('Deny is access_denied at the client', ...journey(() => world, async (walk) => {
  const app = await walk.install();
  await arrive(walk, app);
  await walk.person.decide('Deny');
  const response = await app.callback.response(app.pendingState);
  assert.equal(response.get('error'), 'access_denied');
  assert.equal(response.get('iss'), walk.mandate.url);
  assert.equal(response.get('code'), null);
  await assert.rejects(app.finish(), { code: 'access_denied' });
}));

test('an unticked scope is not granted', ...journey(() => world, async (walk) => {
  const app = await walk.install();
  const url = await app.askForAuthorization();
  url.searchParams.set('scope', 'tickets:read tickets:write');
  await walk.person.open(url);
  await walk.person.signIn('alice', walk.mandate.password('alice'));
  await walk.person.untick('tickets:write');
  await walk.person.decide('Allow');
  await app.finish();
  assert.ok(app.scopes.includes('tickets:read') && !app.scopes.includes('tickets:write'), String(app.scopes));
}));

test('nothing ticked grants nothing', ...journey(() => world, async (walk) => {
  const { page } = walk.person;
  const app = await walk.install();
  await arrive(walk, app);
  for (const scope of await offeredScopes(page)) {
    if (await scopeBox(page, scope).isVisible()) await walk.person.untick(scope);
  }
  await walk.person.decide('Allow');
  await page.waitForLoadState();
  const [response] = app.callback.all(app.pendingState);
  assert.equal(response?.get('code') ?? null, null, 'no code without a scope');
}));

test('a double click on Allow is one decision', ...journey(() => world, async (walk) => {
  const { page } = walk.person;
  const app = await walk.install();
  await arrive(walk, app);
  const sent = page.waitForRequest((request) => request.method() === 'POST');
  await consentIn(page).dblclick();
  const decision = await sent;
  const code = (await app.callback.response(app.pendingState)).get('code');
  const repeat = () =>
    walk.person.context.request.post(decision.url(), {
      headers: { 'content-type': 'application/x-www-form-urlencoded', origin: walk.mandate.url },
      data: decision.postData(),
      maxRedirects: 0,
    });
  const again = await repeat();
  assert.equal(again.status(), 303, 'the same decision once more leads the same way');
  assert.equal(new URL(again.headers().location).searchParams.get('code'), code);
  await app.finish();
  assert.match(await (await repeat()).text(), /already connected/, 'and once the code is used, to a page');
  assert.equal((await app.bareCall()).status, 200, 'nothing was taken back');
}));

test('a reload of the consent page is harmless', ...journey(() => world, async (walk) => {
  const { page } = walk.person;
  const app = await walk.install();
  await arrive(walk, app);
  const copy = await walk.person.newTab();
  await copy.goto(page.url());
  await page.reload();
  await page.reload();
  await walk.person.decide('Allow', copy);
  await app.finish();
  await walk.person.decide('Allow', page);
  await page.waitForLoadState();
  assert.equal((await app.bareCall()).status, 200);
}));

// Goes through the history as the person's buttons do, and waits for what stands there. The driver's own way asks
// the browser for its history in the very moment in which the back-forward cache exchanges the page.
async function travel(page, steps, arrived) {
  await page.evaluate((distance) => { setTimeout(() => history.go(distance), 0); }, steps);
  await arrived.waitFor();
}

test('the back button leads to a page that helps', ...journey(() => world, async (walk) => {
  const { page } = walk.person;
  const app = await walk.install();
  await arrive(walk, app);
  await travel(page, -1, page.getByLabel('Username'));
  await travel(page, 1, consentIn(page));
  await consentIn(page).click();
  await app.finish();
  await travel(page, -1, page.getByText('Mandate', { exact: true }).first());
  if (await consentIn(page).isVisible()) await consentIn(page).click();
  await page.waitForLoadState();
  assert.ok((await readText(page)).trim().length > 10, 'never an empty page');
  assert.equal((await app.bareCall()).status, 200);
}));

test('two flows side by side do not touch each other', ...journey(() => world, async (walk) => {
  const { person, mandate } = walk;
  const [left, right] = [await walk.install({ name: 'Left' }), await walk.install({ name: 'Right' })];
  const [leftTab, rightTab] = [person.page, await person.newTab()];
  await person.open(await left.askForAuthorization(), leftTab);
  await person.open(await right.askForAuthorization(), rightTab);
  await person.signIn('alice', mandate.password('alice'), leftTab);
  await consentIn(leftTab).waitFor();
  await person.signIn('alice', mandate.password('alice'), rightTab);
  await consentIn(rightTab).waitFor();
  assert.match(await readText(leftTab), /Left/);
  assert.match(await readText(rightTab), /Right/);
  await person.decide('Allow', rightTab);
  await right.finish();
  await person.decide('Allow', leftTab);
  await left.finish();
  for (const app of [left, right]) assert.equal((await app.bareCall()).status, 200);
}));

test('nobody allows on a page that was shown to somebody else', ...journey(() => world, async (walk) => {
  const { person, mandate } = walk;
  const app = await walk.install();
  await arrive(walk, app);
  const tab = await person.newTab();
  await person.open(person.page.url(), tab);
  await tab.getByRole('link', { name: /Sign in as someone else/ }).click();
  await person.signIn('bob', mandate.password('bob'), tab);
  await consentIn(tab).waitFor();
  await person.decide('Allow');
  await person.page.getByRole('heading', { name: /can no longer be used/ }).waitFor();
  assert.deepEqual(app.callback.all(app.pendingState), []);
  await person.decide('Allow', tab);
  await app.finish();
}));

test('an unknown consent id is a page that says what to do', ...journey(() => world, async (walk) => {
  const app = await walk.install();
  await arrive(walk, app);
  const unknown = new URL('/consent/AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA', walk.mandate.url);
  const response = await walk.person.open(unknown);
  assert.ok(response.status() >= 400 && response.status() < 500, String(response.status()));
  assert.match(await readText(walk.person.page), /again|start|back to/i);
}));

test("one person cannot answer another's request", ...journey(() => world, async (walk) => {
  const app = await walk.install();
  await arrive(walk, app);
  const bob = await walk.meet();
  const other = await walk.install();
  await bob.open(await other.askForAuthorization());
  await bob.signIn('bob', walk.mandate.password('bob'));
  await consentIn(bob.page).waitFor();
  const response = await bob.open(walk.person.page.url());
  assert.ok(response.status() >= 400 && response.status() < 500, String(response.status()));
  assert.equal(await consentIn(bob.page).count(), 0);
}));

test('a client that listens on the name localhost is served', ...journey(() => world, async (walk) => {
  const app = await walk.install({ host: 'localhost', registration: { document: world.documents } });
  await app.connect(walk.grant(walk.person, 'alice'));
  assert.equal((await app.bareCall()).status, 200);
}));
