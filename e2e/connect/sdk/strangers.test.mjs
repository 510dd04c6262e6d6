// The bridge between the official SDKs' clients, which run it as a program, and their own servers.
import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { after, before, test } from 'node:test';
import {
  CreateMessageRequestSchema,
  ElicitRequestSchema,
  ToolListChangedNotificationSchema,
} from '@modelcontextprotocol/sdk/types.js';
import { CurrentServer } from './current_server.mjs';
import { FirstServer } from './first_server.mjs';
import { Machine } from './machine.mjs';

const PYTHON = process.env.MANDATE_PYTHON;
const text = (result) => result.content[0].text;
const call = (client, name, args = {}) => client.callTool({ name, arguments: args });

let machine;
before(() => (machine = new Machine()));
after(() => machine.remove());

/** Answers what a server asks its person. */
function answering(client) {
  client.setRequestHandler(ElicitRequestSchema, async (request) => {
    assert.equal(request.params.message, 'Which colour?');
    return { action: 'accept', content: { colour: 'green' } };
  });
  return client;
}

test('a_server_of_the_typescript_sdk_with_sessions', async (t) => {
  const server = await FirstServer.start();
  t.after(() => server.stop());
  const client = answering(await machine.first(server.url, { elicitation: {}, sampling: {} }));
  t.after(() => client.close());
  client.setRequestHandler(CreateMessageRequestSchema, async () => {
    return { model: 'none', role: 'assistant', content: { type: 'text', text: 'thought' } };
  });
  const announced = new Promise((resolve) => client.setNotificationHandler(ToolListChangedNotificationSchema, resolve));
  await client.open();

  await t.test('signs_in_once_and_lists_its_tools', async () => {
    const { tools } = await client.listTools();
    assert.deepEqual(tools.map((tool) => tool.name), ['hello', 'ask', 'think', 'slow']);
    assert.equal(machine.dances, 1);
  });
  await t.test('asks_the_person_and_the_model_over_the_bridge', async () => {
    assert.equal(text(await call(client, 'ask')), 'accept green');
    assert.equal(text(await call(client, 'think')), 'thought');
  });
  await t.test('tells_of_progress', async () => {
    const done = await client.callTool({ name: 'slow' }, undefined, { onprogress: () => server.notice() });
    assert.equal(text(done), 'done');
  });
  await t.test('speaks_by_itself_over_its_own_stream', async () => {
    await server.announce();
    await announced;
  });
  await t.test('may_restart_and_lose_its_sessions', async () => {
    await server.restart();
    assert.equal(text(await call(client, 'ask')), 'accept green');
    assert.equal(server.begun, 2);
  });
  await t.test('hears_when_the_client_goes', async () => {
    await client.close();
    while (server.sessions > 0) await new Promise((resolve) => setTimeout(resolve, 10));
    assert.equal(machine.dances, 1);
  });
});

test('a_server_of_the_typescript_sdk_of_the_stateless_era', async (t) => {
  const server = await CurrentServer.start();
  t.after(() => server.stop());
  const client = await machine.current(server.url);
  t.after(() => client.close());
  assert.equal(client.getNegotiatedProtocolVersion(), '2026-07-28');
  assert.equal(text(await call(client, 'where', { region: 'S\u00fcd' })), 'modern S\u00fcd');
  const headers = server.seen.at(-1);
  assert.equal(headers['mcp-param-region'], '=?base64?U8O8ZA==?=');
  assert.equal(headers['mcp-name'], 'where');
  await server.restart();
  assert.equal(text(await call(client, 'where', { region: 'north' })), 'modern north');
  const old = await machine.first(server.url);
  t.after(() => old.close());
  await old.open();
  assert.equal(text(await call(old, 'where', { region: 'north' })), 'legacy north');
});

test('a_server_whose_certificate_only_its_own_people_trust', async (t) => {
  const [key, certificate] = ['key.pem', 'certificate.pem'].map((name) => path.join(machine.home, name));
  const about = ['-subj', '/CN=localhost', '-addext', 'subjectAltName=DNS:localhost', '-addext', 'basicConstraints=CA:FALSE'];
  const curve = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '2'];
  execFileSync('openssl', ['req', '-x509', ...curve, ...about, '-keyout', key, '-out', certificate], { stdio: 'ignore' });
  const server = await CurrentServer.start({ key: readFileSync(key), cert: readFileSync(certificate) });
  t.after(() => server.stop());
  const stranger = await machine.first(server.url);
  t.after(() => stranger.close());
  await assert.rejects(stranger.open(), /certificate is not trusted/);
  const client = await machine.first(server.url, {}, ['--ca-file', certificate]);
  t.after(() => client.close());
  await client.open();
  assert.equal(text(await call(client, 'where', { region: 'north' })), 'legacy north');
});

test('a_server_of_the_python_sdk_with_sessions', { skip: !PYTHON && 'MANDATE_PYTHON names no Python' }, async (t) => {
  const script = path.join(import.meta.dirname, 'python_server.py');
  const server = spawn(PYTHON, [script], { stdio: ['ignore', 'pipe', 'inherit'] });
  t.after(() => server.kill());
  const [url] = await once(createInterface(server.stdout), 'line');
  const client = answering(await machine.first(url, { elicitation: {} }));
  t.after(() => client.close());
  const before = machine.dances;
  await client.open();
  assert.equal(text(await call(client, 'ask')), 'accept green');
  await call(client, 'end');
  assert.equal(text(await call(client, 'ask')), 'accept green', 'after a refresh');
  assert.equal(machine.dances, before + 1);
  const other = await machine.current(url);
  t.after(() => other.close());
  assert.equal(text(await call(other, 'end')), 'ended', 'with the same tokens');
  assert.equal(machine.dances, before + 1);
  machine.signOut(url);
  assert.equal(text(await call(other, 'end')), 'ended', 'after another sign-in');
  assert.equal(machine.dances, before + 2);
});
