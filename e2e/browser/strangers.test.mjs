// What other web sites can do to a person who is signed in: nothing, in a real browser.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { closeWorld, openWorld } from './harness.mjs';
import { journey } from './journey.mjs';
import { form, StrangeSite } from './stranger.mjs';

let world;
before(async () => (world = await openWorld()));
after(() => closeWorld(world));

/** Opens a strange site in a tab of its own. */
async function lure(walk, html, hostname = 'localhost') {
  const site = await StrangeSite.open(html, hostname);
  walk.t.after(() => site.close());
  walk.person.trust(new URL(site.url).origin);
  const page = await walk.person.newTab();
  await page.goto(site.url);
  return page;
}

/** Sends the strange site's form: it is refused, on a page that says so. */
async function winAPrize(page) {
  const answer = page.waitForResponse((response) => response.request().method() === 'POST');
  await page.getByRole('button', { name: 'Win a prize' }).click();
  assert.equal((await answer).status(), 403);
  assert.match((await answer).headers()['content-type'] ?? 'nothing', /^text\/html/, 'a person is told');
}

/** Leaves the person in front of the consent page of a new client. */
async function arrive(walk) {
  const app = await walk.install();
  await walk.person.open(await app.askForAuthorization());
  await walk.person.signIn('alice', walk.mandate.password('alice'));
  await walk.person.page.getByRole('button', { name: 'Allow', exact: true }).waitFor();
  return app;
}

test('no strange site can show the consent page in a frame', ...journey(() => world, async (walk) => {
  await arrive(walk);
  const page = await lure(walk, `<iframe src="${walk.person.page.url()}"></iframe>`);
  const texts = await Promise.all(page.frames().map((frame) => frame.locator('body').innerText().catch(() => '')));
  assert.ok(!texts.some((text) => text.includes('Allow')), 'the frame stays empty');
  walk.person.expect(/frame-ancestors|X-Frame-Options/i);
}));

test('no strange site can press Allow', ...journey(() => world, async (walk) => {
  const app = await arrive(walk);
  const fields = { decision: 'allow', scope: 'tickets:read' };
  for (const hostname of ['localhost', '127.0.0.1']) {
    const page = await lure(walk, form(walk.person.page.url(), fields), hostname);
    await winAPrize(page);
  }
  assert.deepEqual(app.callback.all(app.pendingState), [], 'the client hears nothing');
  await walk.person.decide('Allow');
  await app.finish();
}));

test('no strange site can sign a person in as somebody else', ...journey(() => world, async (walk) => {
  const login = new URL('/login', walk.mandate.url);
  const fields = { username: 'bob', password: walk.mandate.password('bob') };
  const page = await lure(walk, form(login, fields));
  await winAPrize(page);
  await walk.person.open(new URL('/account', walk.mandate.url));
  assert.equal(await walk.person.page.getByLabel('Password', { exact: true }).count(), 1, 'nobody is signed in');
}));

test('a strange site reads the metadata and nothing of the person', ...journey(() => world, async (walk) => {
  await arrive(walk);
  const page = await lure(walk, '<h1>A strange site</h1>');
  const read = (path, options) =>
    page.evaluate(([url, init]) => fetch(url, init).then((answer) => answer.status, () => 'refused'), [
      new URL(path, walk.mandate.url).href,
      options,
    ]);
  const clientHeaders = { headers: { 'mcp-protocol-version': '2025-11-25' } };
  assert.equal(await read('/.well-known/oauth-authorization-server', clientHeaders), 200);
  assert.equal(await read('/.well-known/oauth-protected-resource/mcp', clientHeaders), 200);
  assert.equal(await read('/jwks'), 200);
  assert.equal(await read('/account', { credentials: 'include' }), 'refused');
  assert.equal(await read('/authorize'), 'refused');
  walk.person.expect(/CORS policy/);
}));
