// mcp-remote between a client that only speaks stdio and the server.
import assert from 'node:assert/strict';
import path from 'node:path';
import { test } from 'node:test';
import { Home, Pipe, Program } from './program.mjs';
import { sharedWorld } from './world.mjs';

const MCP_REMOTE = path.join(import.meta.dirname, 'node_modules/mcp-remote/dist/proxy.js');
const INITIALIZE = {
  protocolVersion: '2025-06-18', capabilities: {}, clientInfo: { name: 'stdio-client', version: '1' },
};
const READ = { name: 'search_tickets', arguments: { query: 'printer' } };
const WRITE = { name: 'create_ticket', arguments: { title: 'From mcp-remote', body: 'Written by its test.' } };

const here = sharedWorld();

/** A client that has said hello through the bridge; `options` are mcp-remote's. */
function bridge(home, options = []) {
  const program = Program.start(home, [process.execPath, MCP_REMOTE, here.world.mcpUrl, ...options]);
  return { program, pipe: new Pipe(program) };
}

async function opened({ pipe }) {
  const { result } = await pipe.ask('initialize', INITIALIZE);
  assert.ok(result.serverInfo.name, JSON.stringify(result));
  pipe.send({ method: 'notifications/initialized' });
}

test('signs_in_lists_and_calls_and_asks_again_for_what_it_lacks', async (t) => {
  const home = await Home.make();
  t.after(() => home.remove());
  const first = bridge(home);
  t.after(() => first.program.stop());
  const open = opened(first);
  const consent = await here.alice.allow(await first.program.authorizeUrl());
  await open;
  assert.match(consent.text, /“MCP CLI Proxy”/);
  assert.match(consent.text, /Not verified/);
  assert.equal(consent.callback.pathname, '/oauth/callback');
  assert.deepEqual(consent.scopes, ['tickets:read']);
  const { result } = await first.pipe.ask('tools/list', {});
  assert.ok(result.tools.some((tool) => tool.name === 'create_ticket'));
  const read = await first.pipe.ask('tools/call', READ);
  assert.ok(!read.result.isError, JSON.stringify(read));

  await t.test('step_up', async () => {
    const asking = first.pipe.ask('tools/call', WRITE);
    const [, url] = await first.program.says(/visiting:\s+\S+[\s\S]*visiting:\s+(\S+)/);
    const wider = await here.alice.allow(url);
    assert.deepEqual(wider.scopes, ['tickets:read', 'tickets:write']);
    const written = await asking;
    assert.ok(written.result && !written.result.isError, JSON.stringify(written));
  });
  await first.program.stop();

  const second = bridge(home);
  t.after(() => second.program.stop());
  await opened(second);
  assert.ok(!(await second.pipe.ask('tools/call', READ)).result.isError, 'the next start asks nobody');
});

test('the_program_that_tries_it_out', async (t) => {
  const home = await Home.make();
  t.after(() => home.remove());
  const client = path.join(path.dirname(MCP_REMOTE), 'client.js');
  const program = Program.start(home, [process.execPath, client, here.world.mcpUrl]);
  t.after(() => program.stop());
  await here.alice.allow(await program.authorizeUrl());
  await program.says(/create_ticket/);
});
