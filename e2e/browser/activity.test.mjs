// What an app did for its person, as the account shows it: newest first, in pages, without JavaScript.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { readText } from './browser.mjs';
import { closeWorld, openWorld } from './harness.mjs';
import { journey } from './journey.mjs';
import { look } from './looks.mjs';

let world;
before(async () => (world = await openWorld({ toml: '[mcp]\nchallenge_scopes = "all"\nwrites_burst = 30\nwrites_per_minute = 30\n' })));
after(() => closeWorld(world));

const account = () => new URL('/account', world.mandate.url);
const deeds = (page) => page.locator('.activity .deed').allInnerTexts();
const card = (page, name) => page.locator('li.app').filter({ hasText: name });

test('what an app did and was refused is shown in plain words', ...journey(() => world, async (walk) => {
  const { page } = walk.person;
  const app = await walk.install({ name: 'Busy Notebook', registration: { document: world.documents } });
  const idle = await walk.install({ name: 'Idle Notebook' });
  for (const one of [app, idle]) await one.connect(walk.grant(walk.person, 'alice'));
  await app.call('search_tickets', { query: 'printer' });
  const opened = await app.call('create_ticket', {
    title: 'The <b>printer</b> on the second floor is out of toner',
    body: 'Somebody should look at it. '.repeat(40),
    idempotency_key: 'once',
  });
  const id = opened.structuredContent.id;
  await app.call('comment_ticket', { id, body: 'Toner is on its way.' });
  await app.call('close_ticket', { id, resolution: 'Replaced the toner.' });
  await app.call('close_ticket', { id: 'T-999999' });

  await walk.person.open(account());
  const busy = await card(page, 'Busy Notebook').innerText();
  for (const part of [`Closed ticket ${id}`, `Commented on ticket ${id}`, 'Tried to close ticket T-999999', 'Refused']) {
    assert.ok(busy.includes(part), `${part} in: ${busy}`);
  }
  assert.match(busy, /Can read now\s+119 of 120 times \(120 a minute\)/);
  assert.match(busy, /Can write now\s+(2[6-9]|30) of 30 times \(30 a minute\)/);
  assert.match(await card(page, 'Idle Notebook').innerText(), /changed nothing yet/);
  await look(page, 'account-with-activity');

  await page.getByRole('link', { name: 'All activity of Busy Notebook', exact: true }).click();
  await page.getByRole('heading', { level: 1, name: 'What “Busy Notebook” did for you' }).waitFor();
  assert.deepEqual((await deeds(page)).map((deed) => deed.replace(/\s+/g, ' ').trim()), [
    'Tried to close ticket T-999999 Refused',
    `Closed ticket ${id}`,
    `Commented on ticket ${id}`,
    `Opened ticket ${id}`,
  ]);
  const text = await readText(page);
  for (const part of ['T-999999 was not found.', 'Replaced the toner.', 'The <b>printer</b>', '(1120 characters)', 'UTC']) {
    assert.ok(text.includes(part), `${part} in: ${text}`);
  }
  assert.doesNotMatch(page.url(), /token|key|once/);
  await look(page, 'activity');

  await page.getByRole('link', { name: 'Connected apps' }).first().click();
  await page.getByRole('button', { name: 'Revoke Busy Notebook', exact: true }).click();
  await page.getByRole('status').getByRole('link', { name: 'See what it did' }).click();
  assert.match(await readText(page), /It has no access any more/);
  assert.equal((await deeds(page)).length, 4, 'what it did stays');
}));

test('activity is read in pages, without JavaScript', ...journey(() => world, async (walk) => {
  const person = await walk.meet({ javaScriptEnabled: false });
  const { page } = person;
  const app = await walk.install({ name: 'Chatty Notebook' });
  await app.connect(walk.grant(person, 'bob'));
  const opened = await app.call('create_ticket', { title: 'Chat', body: 'Opened to be commented on.' });
  const { id } = opened.structuredContent;
  for (let number = 1; number <= 24; number += 1) await app.call('comment_ticket', { id, body: `Comment ${number}` });
  await person.open(account());
  await page.getByRole('link', { name: 'All activity of Chatty Notebook', exact: true }).click();
  assert.equal((await deeds(page)).length, 20);
  assert.match(await page.locator('.activity li').first().innerText(), /Comment 24/);
  await page.getByRole('link', { name: 'Older', exact: true }).click();
  assert.equal((await deeds(page)).length, 5);
  assert.match(await page.locator('.activity li').first().innerText(), /Comment 4/);
  assert.equal(await page.getByRole('link', { name: 'Older', exact: true }).count(), 0);
  await page.getByRole('link', { name: 'Newest', exact: true }).click();
  assert.equal((await deeds(page)).length, 20);
}));
