// Machines with the official SDKs' own providers for client credentials: they get a token and call a tool, and no person
// is asked.
import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { after, before, test } from 'node:test';
import * as current from '@modelcontextprotocol/client';
import { ClientCredentialsProvider, PrivateKeyJwtProvider } from '@modelcontextprotocol/sdk/client/auth-extensions.js';
import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js';

const BINARY = process.env.MANDATE_BIN ?? path.resolve(import.meta.dirname, '../../../target/debug/mandate');
const ABOUT = { name: 'mandate-machines-e2e', version: '1.0.0' };
/** Each line of the SDK: how it connects, and its providers. */
const LINES = {
  first: {
    ClientCredentialsProvider,
    PrivateKeyJwtProvider,
    client: () => new Client(ABOUT),
    transport: StreamableHTTPClientTransport,
  },
  current: {
    ClientCredentialsProvider: current.ClientCredentialsProvider,
    PrivateKeyJwtProvider: current.PrivateKeyJwtProvider,
    client: () => new current.Client(ABOUT, { versionNegotiation: { mode: 'auto' } }),
    transport: current.StreamableHTTPClientTransport,
  },
};

let folder, env, server, url;

before(async () => {
  folder = mkdtempSync(path.join(tmpdir(), 'mandate-machines-'));
  const probe = createServer().listen(0, '127.0.0.1');
  await once(probe, 'listening');
  const { port } = probe.address();
  probe.close();
  url = `http://localhost:${port}`;
  env = { PATH: process.env.PATH, MANDATE_LISTEN: `127.0.0.1:${port}`, MANDATE_PUBLIC_URL: url };
  server = spawn(BINARY, ['serve', '--demo'], { cwd: folder, env, stdio: ['ignore', 'pipe', 'ignore'] });
  for await (const line of createInterface(server.stdout)) if (line.includes('mcpServers')) break;
  server.stdout.resume();
});
after(async () => {
  const ended = once(server, 'exit');
  server.kill();
  await ended;
  rmSync(folder, { recursive: true, force: true });
});

/** Registers a machine as an operator does. */
function register(...options) {
  const words = ['client', 'add', '--machine', '--name', 'Nightly report', '--role', 'agent', ...options];
  const said = execFileSync(BINARY, words, { cwd: folder, env, encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] });
  const read = (name) => said.match(new RegExp(`^${name}: (\\S+)`, 'm'))?.[1];
  return { clientId: read('client_id'), clientSecret: read('client_secret') };
}

async function works(line, authProvider, also = async () => {}) {
  const client = line.client();
  await client.connect(new line.transport(new URL(`${url}/mcp`), { authProvider }));
  try {
    const found = await client.callTool({ name: 'search_tickets', arguments: { query: 'printer' } });
    assert.ok(!found.isError && found.structuredContent.tickets.length > 0, JSON.stringify(found));
    const tokens = await authProvider.tokens();
    assert.equal(tokens.refresh_token, undefined);
    assert.equal(tokens.scope, 'tickets:read');
    const claims = JSON.parse(Buffer.from(tokens.access_token.split('.')[1], 'base64url'));
    assert.match(claims.sub, /^client:/);
    assert.equal(claims.aud, `${url}/mcp`);
    await also(client);
  } finally {
    await client.close();
  }
}

for (const [name, line] of Object.entries(LINES)) {
  test(`a_machine_with_a_secret_of_the_${name}_line`, async () => {
    const machine = register('--scope', 'tickets:read');
    const provider = new line.ClientCredentialsProvider({ ...machine, expectedIssuer: url });
    // What it is registered for is the ceiling: the SDK asks for more when it is told to, and is refused.
    const draft = { title: 'Never', body: 'Opened.' };
    await works(line, provider, (client) =>
      assert.rejects(client.callTool({ name: 'create_ticket', arguments: draft }), /scop/i),
    );
  });
  test(`a_machine_that_signs_of_the_${name}_line`, async () => {
    const pair = await crypto.subtle.generateKey({ name: 'ECDSA', namedCurve: 'P-256' }, true, ['sign', 'verify']);
    const [key, jwk] = await Promise.all([pair.privateKey, pair.publicKey].map((one) => crypto.subtle.exportKey('jwk', one)));
    const file = path.join(folder, `${name}.json`);
    writeFileSync(file, JSON.stringify({ keys: [jwk] }));
    const signs = ['--auth-method', 'private_key_jwt', '--jwks-file', file];
    const { clientId } = register('--scope', 'tickets:read', ...signs);
    const options = { clientId, privateKey: key, algorithm: 'ES256', expectedIssuer: url };
    await works(line, new line.PrivateKeyJwtProvider(options));
  });
}
