// Every page as a picture, in light and dark, on a desktop and on a phone, and each of them under axe-core.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { readText } from './browser.mjs';
import { closeWorld, Mandate, openWorld } from './harness.mjs';
import { journey } from './journey.mjs';
import { look } from './looks.mjs';

const UNKNOWN_ID = 'A'.repeat(43);

let world;
before(async () => (world = await openWorld()));
after(() => closeWorld(world));

const at = (path) => new URL(path, world.mandate.url);

test('home and sign-in', ...journey(() => world, async (walk) => {
  const { page } = walk.person;
  await walk.person.open(at('/'));
  await look(page, 'home');
  await walk.person.open(at('/login'));
  await look(page, 'login');
  const app = await walk.install({ name: 'Notebook' });
  await walk.person.open(await app.askForAuthorization());
  await look(page, 'login-for-an-app');
  await walk.person.signIn('alice', 'not her password');
  await page.getByRole('alert').waitFor();
  await look(page, 'login-refused');
}));

test('consent, for a client of each kind', ...journey(() => world, async (walk) => {
  const { page } = walk.person;
  const unproven = await walk.install({ name: 'Unproven Notebook' });
  await walk.person.open(await unproven.askForAuthorization());
  await walk.person.signIn('alice', walk.mandate.password('alice'));
  await page.getByRole('button', { name: 'Allow', exact: true }).waitFor();
  await look(page, 'consent-unproven');
  for (const box of await page.locator('input[name="scope"]').all()) await box.uncheck();
  await walk.person.decide('Allow');
  await page.getByRole('alert').waitFor();
  await look(page, 'consent-nothing-ticked');

  const proven = await walk.install({
    name: 'A notebook with a name that is much longer than any designer of a page would ever have thought of',
    registration: { document: world.documents },
  });
  await walk.person.open(await proven.askForAuthorization());
  await look(page, 'consent-proven');
  await walk.person.decide('Allow');
  await proven.finish();
  await proven.callBeyondGrant('create_ticket', { title: 'One', body: 'Two' });
  await walk.person.open(proven.authorizationUrl);
  await look(page, 'consent-wider');
  const answered = page.url();
  await walk.person.decide('Allow');
  await proven.finish();
  await walk.person.open(answered);
  await look(page, 'consent-answered');
}));

test('account, empty and full, and signed out', ...journey(() => world, async (walk) => {
  const { page } = walk.person;
  await walk.person.open(at('/account'));
  await walk.person.signIn('bob', walk.mandate.password('bob'));
  await page.getByRole('heading', { level: 1 }).waitFor();
  await page.waitForURL(at('/account').href);
  await look(page, 'account-empty');

  const apps = [
    await walk.install({ name: 'Café Notebook', registration: { document: world.documents } }),
    await walk.install({ name: 'دفتر الملاحظات' }),
  ];
  for (const app of apps) await app.connect(walk.grant(walk.person, 'bob'));
  await apps[0].call('search_tickets', { query: 'printer' });
  await walk.person.open(at('/account'));
  await look(page, 'account');
  await page.getByRole('button', { name: /^Revoke/ }).first().click();
  await page.getByRole('status').waitFor();
  await look(page, 'account-revoked');
  await walk.person.open(at('/'));
  await look(page, 'home-signed-in');
  await walk.person.open(at('/account'));
  await page.getByRole('button', { name: 'Sign out', exact: true }).click();
  await page.getByRole('heading', { name: /signed out/i }).waitFor();
  await look(page, 'signed-out');
}));

test('errors say what to do', ...journey(() => world, async (walk) => {
  const { page } = walk.person;
  const app = await walk.install();
  const request = await app.askForAuthorization();
  const changed = (name, value) => {
    const url = new URL(request);
    url.searchParams.set(name, value);
    return url;
  };
  const errors = [
    ['error-not-found', 404, at('/no-such-page')],
    ['error-unknown-client', 400, changed('client_id', 'nobody')],
    ['error-foreign-redirect', 400, changed('redirect_uri', 'https://evil.example/callback')],
    ['error-no-document', 502, changed('client_id', `https://${world.documents.host}/missing.json`)],
    ['error-unknown-flow', 400, at(`/login?flow=${UNKNOWN_ID}`)],
    ['error-setup-over', 410, at(`/setup?token=${UNKNOWN_ID}`)],
  ];
  for (const [name, status, url] of errors) {
    const response = await walk.person.open(url);
    assert.equal(response.status(), status, name);
    const text = await readText(page);
    assert.match(text, /What you can do/, name);
    assert.match(text, /Reference \S+/, `${name}: the id to ask for`);
    await look(page, name);
  }
  walk.person.expect(/^502 from/);
  await walk.person.open(request);
  await walk.person.signIn('alice', walk.mandate.password('alice'));
  await page.getByRole('button', { name: 'Allow', exact: true }).waitFor();
  await walk.person.open(at(`/consent/${UNKNOWN_ID}`));
  await look(page, 'error-unknown-request');
}));

test('the first account of an empty server is made in the browser, once', ...journey(() => world, async (walk) => {
  const fresh = await Mandate.start({ demo: false });
  walk.t.after(() => fresh.stop());
  const founder = await walk.meet({ visiting: fresh.url });
  const { page } = founder;
  const link = fresh.printedUrl('/setup');
  await founder.open(link);
  await look(page, 'setup');
  const fill = async (username, password, again) => {
    await page.getByLabel('Username', { exact: true }).fill(username);
    await page.getByLabel('Password', { exact: true }).fill(password);
    await page.getByLabel('Password again', { exact: true }).fill(again);
    await page.getByRole('button', { name: 'Create account', exact: true }).click();
  };
  await fill('carol', 'correct horse battery', 'correct horse batteries');
  await page.getByRole('alert').waitFor();
  await look(page, 'setup-refused');
  await fill('carol', 'correct horse battery', 'correct horse battery');
  await page.waitForURL(/\/account/);
  assert.match(await readText(page), /carol/);
  await look(page, 'account-welcome');
  const second = await founder.open(link);
  assert.ok(second.status() >= 400 && second.status() < 500, 'the link works once');
}));
