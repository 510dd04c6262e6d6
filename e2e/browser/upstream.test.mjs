// People who sign in at their company's provider, a real one, and what they see when it does not let them in.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { launchBrowser, readText } from './browser.mjs';
import { closeWorld, Mandate } from './harness.mjs';
import { journey } from './journey.mjs';
import { look } from './looks.mjs';
import { Company, signInAtCompany } from './upstream.mjs';

let world;
before(async () => {
  const company = await Company.start();
  world = { company };
  const toml = `[outbound]\nallowed_hosts = ["${company.host}"]\n${company.toml}`;
  world.mandate = await Mandate.start({ toml });
  company.admit(world.mandate.url);
  world.browser = await launchBrowser(world.mandate.url);
});
after(async () => {
  await closeWorld(world);
  await world?.company?.stop();
});

const button = (page, name) => page.getByRole('button', { name, exact: true });

/** The provider's pages are not ours to judge: they load fonts, and their policy is theirs. */
async function visitor(walk) {
  const person = await walk.meet();
  person.trust(world.company.issuer);
  await person.context.route(/fonts\.googleapis\.com/, (route) => route.fulfill({ contentType: 'text/css', body: '' }));
  person.trust('https://fonts.googleapis.com');
  return person;
}

test('from the app to the provider, to consent, to a tool, and out of both', ...journey(() => world, async (walk) => {
  const person = await visitor(walk);
  const { page } = person;
  const app = await walk.install({ name: 'Notebook' });
  await person.open(await app.askForAuthorization());
  await look(page, 'login-with-a-provider');
  await button(page, 'Sign in with Acme').click();
  await signInAtCompany(page, 'dora');
  await button(page, 'Allow').waitFor();
  assert.equal(new URL(page.url()).origin, world.mandate.url);
  assert.match(await readText(page), /Notebook/);
  assert.match(await readText(page), /dora/);
  await person.decide('Allow');
  await app.finish();
  const found = await app.call('search_tickets', { query: 'printer' });
  assert.ok(!found.isError, JSON.stringify(found));

  const second = await walk.install({ name: 'Second Notebook' });
  await person.open(await second.askForAuthorization());
  assert.match(await readText(page), /Second Notebook/, 'each client is asked for');

  await person.open(new URL('/account', world.mandate.url));
  assert.match(await readText(page), /Agent/);
  await button(page, 'Sign out').click();
  assert.equal(new URL(page.url()).origin, world.company.issuer, 'signed out there, too');
  await page.getByRole('button', { name: /yes, sign me out/i }).click();
  await page.getByRole('heading', { name: 'You are signed out' }).waitFor();
  assert.equal(new URL(page.url()).pathname, '/signed-out');

  await person.open(new URL('/login', world.mandate.url));
  await button(page, 'Sign in with Acme').click();
  await page.locator('input[name="login"]').waitFor();
}));

test('signing out at the provider ends the session here', ...journey(() => world, async (walk) => {
  const person = await visitor(walk);
  const { page } = person;
  await person.open(new URL('/login', world.mandate.url));
  await button(page, 'Sign in with Acme').click();
  await signInAtCompany(page, 'dora');
  await page.waitForURL(new URL('/account', world.mandate.url).href);
  await person.open(`${world.company.issuer}/session/end`);
  await page.getByRole('button', { name: /yes, sign me out/i }).click();
  await page.waitForURL(/session\/end\/success/);
  await person.open(new URL('/account', world.mandate.url));
  assert.equal(new URL(page.url()).pathname, '/login');
}));

test('who has no business here is told whom to ask', ...journey(() => world, async (walk) => {
  const person = await visitor(walk);
  const { page } = person;
  await person.open(new URL('/login', world.mandate.url));
  await button(page, 'Sign in with Acme').click();
  await signInAtCompany(page, 'gus');
  await page.getByRole('heading', { name: 'You have no access here' }).waitFor();
  assert.match(await readText(page), /Ask the IT desk of Acme/);
  await look(page, 'sign-in-refused');
  await page.getByRole('link', { name: 'Ways to sign in' }).click();
  await person.signIn('alice', world.mandate.password('alice'));
  await page.waitForURL(new URL('/account', world.mandate.url).href);
}));

test('who cancels at the provider comes back to the other ways', ...journey(() => world, async (walk) => {
  const person = await visitor(walk);
  const { page } = person;
  const app = await walk.install();
  await person.open(await app.askForAuthorization());
  await button(page, 'Sign in with Acme').click();
  await page.getByRole('link', { name: /cancel/i }).click();
  await page.getByRole('heading', { name: 'You were not signed in at Acme' }).waitFor();
  await page.getByRole('link', { name: 'Ways to sign in' }).click();
  await person.signIn('bob', world.mandate.password('bob'));
  await person.decide('Allow');
  await app.finish();
}));
