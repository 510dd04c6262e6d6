// The account page: what is connected, taking it back, leaving. And that a token carries its person's rights.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { readText } from './browser.mjs';
import { closeWorld, openWorld } from './harness.mjs';
import { journey } from './journey.mjs';

let world;
before(async () => (world = await openWorld()));
after(() => closeWorld(world));

const account = () => new URL('/account', world.mandate.url);

test('a connected app is listed with what it is and may', ...journey(() => world, async (walk) => {
  const app = await walk.install({ name: 'Listed Notebook', registration: { document: world.documents } });
  await app.connect(walk.grant(walk.person, 'alice'));
  await app.call('search_tickets', { query: 'printer' });
  await walk.person.open(account());
  const text = await readText(walk.person.page);
  for (const part of ['Listed Notebook', world.documents.host]) assert.ok(text.includes(part), `${part} in: ${text}`);
  for (const part of [/Allowed/, /Last used/, /tickets/i]) assert.match(text, part);
  assert.doesNotMatch(text, /Never/, 'it has been used a moment ago');
}));

test('a revoked app is refused on its next call', ...journey(() => world, async (walk) => {
  const { page } = walk.person;
  const [kept, dropped] = [await walk.install({ name: 'Kept' }), await walk.install({ name: 'Dropped' })];
  for (const app of [kept, dropped]) await app.connect(walk.grant(walk.person, 'alice'));
  await walk.person.open(account());
  await revokeOf(page, 'Dropped').click();
  await page.waitForURL(/\/account/);
  await revokeOf(page, 'Dropped').waitFor({ state: 'detached' });

  const refused = await dropped.bareCall();
  assert.equal(refused.status, 401);
  assert.match(refused.headers.get('www-authenticate'), /error="invalid_token"/);
  await dropped.callUnauthorized('search_tickets', { query: 'printer' });
  assert.equal((await kept.bareCall()).status, 200, 'the other app is left alone');
}));

test('two people with equal scopes see different tickets', ...journey(() => world, async (walk) => {
  const bob = await walk.meet();
  const [hers, his] = [await walk.install(), await walk.install()];
  await hers.connect(walk.grant(walk.person, 'alice'));
  await his.connect(walk.grant(bob, 'bob'));
  assert.deepEqual(hers.scopes, his.scopes);
  const [seenByHer, seenByHim] = [await ticketsSeen(hers), await ticketsSeen(his)];
  assert.notDeepEqual(seenByHer, seenByHim);
  const [one, other] = seenByHer.length > seenByHim.length ? [hers, his] : [his, hers];
  const foreign = (await ticketsSeen(one)).find((id) => !seenByHer.includes(id) || !seenByHim.includes(id));
  const refused = await other.call('get_ticket', { id: foreign });
  assert.equal(refused.isError, true, 'a ticket of somebody else is not found');
}));

test('signing out ends the session and leaves the apps connected', ...journey(() => world, async (walk) => {
  const { page } = walk.person;
  const app = await walk.install();
  await app.connect(walk.grant(walk.person, 'alice'));
  await walk.person.open(account());
  await page.getByRole('button', { name: 'Sign out', exact: true }).click();
  await page.waitForLoadState();
  await walk.person.open(account());
  assert.equal(await page.getByLabel('Password', { exact: true }).count(), 1, 'the account asks who is there');
  assert.equal((await app.bareCall()).status, 200);
}));

/** The `Revoke` button of one app; its full name names the app. */
function revokeOf(page, name) {
  return page.getByRole('button', { name: `Revoke ${name}`, exact: true });
}

/** Every ticket id that an app sees on the first pages of a common search. */
async function ticketsSeen(app) {
  const result = await app.call('search_tickets', { query: 'the', limit: 50 });
  assert.ok(!result.isError, JSON.stringify(result));
  return [...new Set(JSON.stringify(result.structuredContent).match(/T-\d+/g) ?? [])].sort();
}
