// The MCP Inspector: its command line and its pages.
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { Home, Program, run } from './program.mjs';
import { World } from './world.mjs';

const MODULES = path.join(import.meta.dirname, 'node_modules');
const INSPECTOR = path.join(MODULES, '@modelcontextprotocol/inspector/clients/launcher/build/index.js');
/** The Inspector wants a newer Node.js than the rest. */
const own = path.join(MODULES, `node-linux-${process.arch}/bin/node`);
const NODE = existsSync(own) ? own : process.execPath;
const STORED = { MCP_INSPECTOR_SECRET_STORE: 'file' };

let world, alice;
before(async () => {
  world = await World.open();
  alice = await world.person();
});
after(async () => {
  await alice?.leave();
  await world?.close();
});

const words = (...options) => [NODE, INSPECTOR, '--cli', world.mcpUrl, ...options];

test('the_command_line_signs_in_lists_and_calls', async (t) => {
  const home = await Home.make();
  t.after(() => home.remove());
  const cli = Program.start(home, words('--method', 'tools/list'), { terminal: true, env: STORED });
  t.after(() => cli.stop());
  const consent = await alice.allow(await cli.authorizeUrl(), { untick: ['tickets:write'] });
  console.log(consent.text, consent.asked.href);
  assert.equal(consent.callback.href, 'http://127.0.0.1:6276/oauth/callback');
  assert.deepEqual(consent.scopes, ['tickets:read', 'tickets:write']);
  assert.match(await cli.succeeds(), /"create_ticket"/);
  const call = ['--method', 'tools/call', '--tool-name'];
  const found = await run(home, words(...call, 'search_tickets', '--tool-arg', 'query=printer', '--format', 'json', '--stored-auth-only'), { env: STORED });
  console.log(found);
});
