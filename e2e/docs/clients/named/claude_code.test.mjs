// Claude Code: its commands. No model is asked, and nobody but the server.
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { test } from 'node:test';
import { blocks, commands, options } from '../book.mjs';
import { Home, Program, run } from '../program.mjs';
import { sharedWorld } from '../world.mjs';

const CLAUDE = path.join(import.meta.dirname, `node_modules/@anthropic-ai/claude-code-linux-${process.arch}/claude`);
const env = {
  CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC: '1',
  DISABLE_AUTOUPDATER: '1',
  DISABLE_ERROR_REPORTING: '1',
  DISABLE_TELEMETRY: '1',
};

const here = sharedWorld();

test('claude_code', async (t) => {
  const home = await Home.make();
  t.after(() => home.remove());
  const claude = (...words) => run(home, [CLAUDE, ...words], { env });
  async function signingIn(options) {
    const program = Program.start(home, [CLAUDE, 'mcp', 'login', 'tickets'], { terminal: true, env });
    t.after(() => program.stop());
    const consent = await here.alice.allow(await program.authorizeUrl(), options);
    assert.match(await program.succeeds(), /Authenticated with "tickets"/);
    return consent;
  }

  await t.test('has_every_command_that_the_book_names', async () => {
    const named = commands('claude-code.md', 'claude mcp ');
    assert.ok(named.length >= 5);
    for (const line of named) {
      const help = await claude('mcp', line.split(' ')[2], '--help');
      for (const option of options(line)) assert.ok(help.includes(option), line);
    }
  });
  await t.test('is_added_and_says_that_it_must_sign_in', async () => {
    await claude('mcp', 'add', '--transport', 'http', 'tickets', here.world.mcpUrl);
    assert.match(await claude('mcp', 'list'), /tickets: .*Needs authentication/);
  });
  await t.test('signs_in_by_its_published_document', async () => {
    const consent = await signingIn({ untick: ['tickets:write'] });
    const asked = consent.asked.searchParams;
    assert.equal(asked.get('client_id'), 'https://claude.ai/oauth/claude-code-client-metadata');
    assert.match(consent.callback.href, /^http:\/\/localhost:\d+\/callback$/);
    assert.match(consent.text, /“Claude Code”[\s\S]*claude\.ai Verified/);
    assert.deepEqual(consent.scopes, ['tickets:read', 'tickets:write']);
    assert.match(await claude('mcp', 'list'), /tickets: .*Connected/);
    assert.match(await claude('mcp', 'get', 'tickets'), /Status: .*Connected/);
  });
  await t.test('steps_up_by_signing_in_again', async () => {
    await signingIn();
    assert.match(await here.alice.connectedApps(), /Open, comment on and close tickets as you/);
  });
  await t.test('signs_out_and_tells_the_server', async () => {
    await claude('mcp', 'logout', 'tickets');
    assert.match(await claude('mcp', 'list'), /Needs authentication/);
    assert.match(await here.alice.connectedApps(), /No app is connected yet/);
  });
  await t.test('is_out_once_it_is_revoked', async () => {
    await signingIn();
    await here.alice.revokeAll();
    assert.match(await claude('mcp', 'list'), /Needs authentication|Failed to connect/);
  });
  await t.test('writes_the_file_that_a_project_shares', async () => {
    await claude('mcp', 'remove', 'tickets');
    await claude('mcp', 'add', '--transport', 'http', '--scope', 'project', 'tickets', here.world.mcpUrl);
    const written = JSON.parse(await readFile(path.join(home.folder, '.mcp.json'), 'utf8'));
    const [file] = blocks('claude-code.md', 'json').map((text) => text.replace('http://localhost:8080/mcp', here.world.mcpUrl));
    assert.deepEqual(written, JSON.parse(file));
  });
});
