// Codex: its commands, and the tools as its own app server sees them.
import assert from 'node:assert/strict';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { test } from 'node:test';
import { blocks, commands, options } from '../book.mjs';
import { Home, Pipe, Program, run } from '../program.mjs';
import { sharedWorld } from '../world.mjs';

const CODEX = path.join(import.meta.dirname, 'node_modules/.bin/codex');
/** It may speak to nobody but the server, and keeps tokens where the test can throw them away. */
const QUIET = `mcp_oauth_credentials_store = "file"
check_for_update_on_startup = false
[analytics]
enabled = false
`;

const here = sharedWorld();

test('codex', async (t) => {
  const home = await Home.make();
  t.after(() => home.remove());
  await mkdir(path.join(home.folder, '.codex'));
  await writeFile(path.join(home.folder, '.codex/config.toml'), QUIET);
  const codex = (...words) => run(home, [CODEX, ...words]);
  async function signingIn(words, options) {
    const program = Program.start(home, [CODEX, ...words], { terminal: true });
    t.after(() => program.stop());
    const consent = await here.alice.allow(await program.authorizeUrl(), options);
    assert.match(await program.succeeds(), /Successfully logged in/);
    return consent;
  }

  await t.test('has_every_command_that_the_book_names', async () => {
    const named = commands('codex.md', 'codex mcp ');
    assert.ok(named.length >= 5);
    for (const line of named) {
      const help = await codex('mcp', line.split(' ')[2], '--help');
      for (const option of options(line)) assert.ok(help.includes(option), line);
    }
  });
  await t.test('is_added_and_signs_in_by_its_published_document', async () => {
    const consent = await signingIn(['mcp', 'add', 'tickets', '--url', here.world.mcpUrl], { untick: ['tickets:write'] });
    assert.equal(consent.asked.searchParams.get('client_id'), 'https://chatgpt.com/oauth/codex/client.json');
    assert.match(consent.callback.href, /^http:\/\/127\.0\.0\.1:\d+\/callback$/);
    assert.match(consent.text, /“Codex”[\s\S]*chatgpt\.com Verified/);
    assert.deepEqual(consent.scopes, ['tickets:read', 'tickets:write']);
    const [written] = blocks('codex.md', 'toml').map((table) => table.replace('http://localhost:8080/mcp', here.world.mcpUrl));
    assert.ok((await readFile(path.join(home.folder, '.codex/config.toml'), 'utf8')).includes(written));
    assert.match(await codex('mcp', 'list'), new RegExp(`tickets +${here.world.mcpUrl} .*OAuth`));
  });
  await t.test('sees_the_tools_calls_one_and_says_what_it_lacks', async () => {
    const server = Program.start(home, [CODEX, 'app-server']);
    t.after(() => server.stop());
    const pipe = new Pipe(server);
    await pipe.ask('initialize', { clientInfo: { name: 'test', version: '1' } });
    pipe.send({ method: 'initialized' });
    const { result } = await pipe.ask('mcpServerStatus/list', {});
    assert.ok('create_ticket' in result.data.find((entry) => entry.name === 'tickets').tools);
    const threadId = (await pipe.ask('thread/start', {})).result.thread.id;
    const call = (tool, args) => pipe.ask('mcpServer/tool/call', { threadId, server: 'tickets', tool, arguments: args });
    assert.match((await call('search_tickets', { query: 'printer' })).result.content[0].text, /T-\d+/);
    const refused = await call('create_ticket', { title: 'From Codex', body: 'Written by its test.' });
    assert.match(refused.error.message, /Insufficient scope/);
    await server.stop();
  });
  await t.test('steps_up_by_signing_in_again', async () => {
    const consent = await signingIn(['mcp', 'login', 'tickets']);
    assert.deepEqual(consent.scopes, ['tickets:read', 'tickets:write']);
    assert.match(consent.text, /New/);
  });
  await t.test('registers_itself_when_it_is_told_to', async () => {
    const consent = await signingIn(['mcp', 'login', 'tickets', '--oauth-client-registration', 'dcr']);
    assert.match(consent.text, /“Codex”[\s\S]*Not verified/);
  });
  await t.test('signs_out_without_a_word_to_the_server', async () => {
    await codex('mcp', 'logout', 'tickets');
    assert.match(await codex('mcp', 'list'), /Not logged in/);
    assert.match(await here.alice.connectedApps(), /Codex/, 'its grant is there until a person revokes it');
    await here.alice.revokeAll();
    await codex('mcp', 'remove', 'tickets');
  });
});
