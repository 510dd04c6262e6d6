// The MCP Inspector: its command line and its pages.
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { offeredScopes } from '../../browser/browser.mjs';
import { commands, options } from './book.mjs';
import { Home, Program, run } from './program.mjs';
import { sharedWorld } from './world.mjs';

const MODULES = path.join(import.meta.dirname, 'node_modules');
const INSPECTOR = path.join(MODULES, '@modelcontextprotocol/inspector/clients/launcher/build/index.js');
/** The Inspector wants a newer Node.js than the rest. */
const OWN_NODE = path.join(MODULES, `node-linux-${process.arch}/bin/node`);
const NODE = existsSync(OWN_NODE) ? OWN_NODE : process.execPath;
const env = { MCP_INSPECTOR_SECRET_STORE: 'file', MCP_AUTO_OPEN_ENABLED: 'false' };

const here = sharedWorld();

const inspect = (...options) => [NODE, INSPECTOR, '--cli', here.world.mcpUrl, '--format', 'json', ...options];
const SEARCH = ['--method', 'tools/call', '--tool-name', 'search_tickets', '--tool-arg', 'query=printer'];
const CREATE = ['--method', 'tools/call', '--tool-name', 'create_ticket', '--tool-arg', 'title=From the Inspector', '--tool-arg', 'body=Written by its test.'];

test('the_command_line', async (t) => {
  const home = await Home.make();
  t.after(() => home.remove());
  /** At a terminal it asks its person, who allows it. */
  async function asking(words, options) {
    const cli = Program.start(home, words, { terminal: true, env: { ...env, MCP_AUTO_OPEN_ENABLED: 'true' } });
    t.after(() => cli.stop());
    const consent = await here.alice.allow(await cli.authorizeUrl(), options);
    return { consent, said: await cli.succeeds() };
  }

  await t.test('signs_in_and_lists', async () => {
    const { consent, said } = await asking(inspect('--method', 'tools/list'), { untick: ['tickets:write'] });
    assert.match(consent.text, /“MCP Inspector”/);
    assert.match(consent.text, /Not verified/);
    assert.equal(consent.callback.href, 'http://127.0.0.1:6276/oauth/callback');
    assert.deepEqual(consent.scopes, ['tickets:read', 'tickets:write']);
    assert.match(said, /create_ticket/);
  });
  await t.test('calls_without_asking_again', async () => {
    const found = await run(home, inspect(...SEARCH, '--stored-auth-only'), { env });
    assert.match(found, /"structuredContent"/);
  });
  await t.test('says_that_a_scope_is_missing_and_asks_for_it', async () => {
    const refused = Program.start(home, inspect(...CREATE, '--stored-auth-only'), { env });
    assert.notEqual(await refused.ended, 0, refused.output);
    assert.match(refused.output, /auth_required/);
    const { consent, said } = await asking(inspect(...CREATE, '--relogin', '--no-revoke'));
    assert.deepEqual(consent.scopes, ['tickets:read', 'tickets:write']);
    assert.match(said, /T-\d+/);
  });
  await t.test('speaks_the_current_revision', async () => {
    const found = await run(home, inspect(...SEARCH, '--stored-auth-only', '--protocol-era', 'modern'), { env });
    assert.match(found, /"structuredContent"/);
  });
  await t.test('is_out_once_it_is_revoked', async () => {
    assert.match(await here.alice.connectedApps(), /MCP Inspector/);
    await here.alice.revokeAll();
    const refused = Program.start(home, inspect(...SEARCH, '--stored-auth-only'), { env });
    assert.notEqual(await refused.ended, 0, refused.output);
  });
});

test('the_options_that_the_book_names', async (t) => {
  const home = await Home.make();
  t.after(() => home.remove());
  const help = await run(home, [NODE, INSPECTOR, '--cli', '--help'], { env });
  const named = commands('inspector.md', 'npx ').filter((line) => line.includes('--cli')).flatMap(options);
  assert.ok(named.length > 5);
  for (const option of named) assert.ok(option === '--cli' || help.includes(option), option);
});

test('the_pages', async (t) => {
  const home = await Home.make();
  t.after(() => home.remove());
  const bob = await here.world.person('bob');
  // Its page asks a stranger for fonts; nobody is asked anything here.
  await bob.person.context.route((url) => !['localhost', '127.0.0.1'].includes(url.hostname), (route) => route.abort());
  const inspector = Program.start(home, [NODE, INSPECTOR, '--web', here.world.mcpUrl], { env });
  t.after(() => inspector.stop());
  const [address] = await inspector.says(/http:\/\/127\.0\.0\.1:6274\?\S+/);
  for (const port of [6274, 6275]) bob.person.trust(`http://127.0.0.1:${port}`);
  const { page } = bob.person;
  await page.goto(address);
  await page.getByRole('switch').first().click({ force: true });
  await bob.person.signIn('bob', here.world.mandate.password('bob'));
  await bob.person.decide('Allow');
  await page.getByText('Authorization complete').waitFor();
  await page.getByText('Connected', { exact: true }).waitFor();
  await page.getByText('Tools', { exact: true }).first().click();
  const run = page.getByRole('button', { name: /^(Execute|Run|Call)/ }).first();

  await page.getByText('Search tickets', { exact: true }).click();
  await page.getByLabel(/query/i).first().fill('printer');
  await run.click();
  await page.getByText(/T-\d+ \[/).first().waitFor();

  await page.getByText('Open a ticket', { exact: true }).click();
  await page.getByLabel(/title/i).first().fill('From the Inspector');
  await page.getByLabel(/body/i).first().fill('Written by its test.');
  await run.click();
  await page.getByText('Additional permissions required').waitFor();
  await page.getByRole('button', { name: 'Authorize', exact: true }).click();
  await page.getByRole('button', { name: 'Allow', exact: true }).waitFor();
  assert.deepEqual(await offeredScopes(page), ['tickets:read', 'tickets:write']);
  await bob.person.decide('Allow');
  await page.getByText('Authorization complete').waitFor();
  await page.getByLabel(/title/i).first().fill('From the Inspector');
  await page.getByLabel(/body/i).first().fill('Written by its test.');
  await run.click();
  await page.getByText(/T-\d+/).first().waitFor();
  await bob.person.context.close();
});
