// The sign-in page: what it says when it refuses, who may pass it with the keyboard alone, and `prompt`.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { offeredScopes, readText, scopeBox } from './browser.mjs';
import { closeWorld, openWorld } from './harness.mjs';
import { journey } from './journey.mjs';

let world;
before(async () => (world = await openWorld()));
after(() => closeWorld(world));

const username = (page) => page.getByLabel('Username', { exact: true });
const password = (page) => page.getByLabel('Password', { exact: true });

test('a wrong password is refused in words and the username is kept', ...journey(() => world, async (walk) => {
  const { person, mandate } = walk;
  const app = await walk.install();
  await person.open(await app.askForAuthorization());
  await person.signIn('alice', 'not her password');
  const alert = person.page.getByRole('alert');
  await alert.waitFor();
  assert.match(await alert.innerText(), /password/i);
  assert.equal(await username(person.page).inputValue(), 'alice');
  assert.equal(await password(person.page).inputValue(), '', 'a password never comes back');
  const wrong = await alert.innerText();

  await person.signIn('nobody-of-that-name', 'not a password');
  await alert.waitFor();
  assert.equal(await alert.innerText(), wrong, 'an unknown name is refused in the same words');

  await password(person.page).waitFor();
  await person.signIn('alice', mandate.password('alice'));
  await person.decide('Allow');
  await app.finish();
}));

test('sign-in and consent work with the keyboard alone', ...journey(() => world, async (walk) => {
  const { person, mandate } = walk;
  const { page } = person;
  const app = await walk.install();
  await person.open(await app.askForAuthorization());
  await tabTo(page, username(page));
  await page.keyboard.type('bob');
  await tabTo(page, password(page));
  await page.keyboard.type(mandate.password('bob'));
  await page.keyboard.press('Enter');
  await page.getByRole('button', { name: 'Allow', exact: true }).waitFor();
  const box = scopeBox(page, 'tickets:read');
  await tabTo(page, box);
  await page.keyboard.press('Space');
  assert.equal(await box.isChecked(), false);
  await page.keyboard.press('Space');
  assert.equal(await box.isChecked(), true);
  await tabTo(page, page.getByRole('button', { name: 'Allow', exact: true }));
  await page.keyboard.press('Enter');
  await app.finish();
  assert.ok(app.scopes.includes('tickets:read'));
}));

test('who is signed in goes straight to the consent page', ...journey(() => world, async (walk) => {
  const { person } = walk;
  const [first, second] = [await walk.install(), await walk.install({ name: 'Second Notebook' })];
  await first.connect(walk.grant(person, 'alice'));
  await person.open(await second.askForAuthorization());
  assert.equal(await password(person.page).count(), 0);
  assert.match(await readText(person.page), /Second Notebook/);
}));

test('prompt=login asks for the password again', ...journey(() => world, async (walk) => {
  const { person, mandate } = walk;
  const [first, second] = [await walk.install(), await walk.install()];
  await first.connect(walk.grant(person, 'alice'));
  const url = await second.askForAuthorization();
  url.searchParams.set('prompt', 'login');
  await person.open(url);
  assert.equal(await password(person.page).count(), 1);
  await person.signIn('alice', mandate.password('alice'));
  assert.deepEqual((await offeredScopes(person.page)).includes('tickets:read'), true);
  await person.decide('Allow');
  await second.finish();
}));

test('prompt=none shows no page that asks for something', ...journey(() => world, async (walk) => {
  const { person } = walk;
  const app = await walk.install();
  const url = await app.askForAuthorization();
  url.searchParams.set('prompt', 'none');
  await person.open(url);
  const signedOut = await app.callback.response(app.pendingState);
  assert.equal(signedOut.get('error'), 'login_required');
  assert.equal(signedOut.get('iss'), world.mandate.url);

  await app.askForAuthorization();
  await walk.grant(person, 'alice')(app.authorizationUrl);
  await app.finish();
  const again = await walk.install();
  const silent = await again.askForAuthorization();
  silent.searchParams.set('prompt', 'none');
  await person.open(silent);
  const signedIn = await again.callback.response(again.pendingState);
  assert.match(signedIn.get('error'), /^(consent|interaction)_required$/);
}));

/** Presses Tab until the element has the focus, and sees to it that every stop on the way can be seen. */
async function tabTo(page, target) {
  for (let presses = 0; presses < 30; presses += 1) {
    if (await target.evaluate((element) => element === document.activeElement)) return;
    await page.keyboard.press('Tab');
    assert.ok(await page.evaluate(hasVisibleFocus), 'the element in focus is marked');
  }
  throw new Error('Tab never reached the element');
}

function hasVisibleFocus() {
  const element = document.activeElement;
  if (!element || element === document.body) return true;
  const style = getComputedStyle(element);
  return (style.outlineStyle !== 'none' && style.outlineWidth !== '0px') || style.boxShadow !== 'none';
}
