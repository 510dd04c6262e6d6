// What the pages tell people to write: files that are valid and name the endpoint, and commands that there are.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { BINARY } from '../../browser/harness.mjs';
import { blocks, commands, text } from './book.mjs';

const ENDPOINTS = ['http://localhost:8080/mcp', 'https://tickets.example.com/mcp'];
/** Where each client looks for its servers. */
const FILES = {
  'claude-code.md': ['mcpServers'],
  'claude-desktop.md': ['mcpServers'],
  'cursor.md': ['mcpServers', 'mcpServers'],
  'mcp-remote.md': ['mcpServers'],
  'vs-code.md': ['servers'],
};

for (const [page, lists] of Object.entries(FILES)) {
  test(`files_of_${page}`, () => {
    const files = blocks(page, 'json').map((text) => JSON.parse(text));
    assert.deepEqual(files.map((file) => Object.keys(file)), lists.map((list) => [list]));
    for (const file of files) {
      const { tickets, ...others } = Object.values(file)[0];
      assert.deepEqual(others, {});
      const addresses = [tickets.url, ...(tickets.args ?? [])].filter((word) => word?.startsWith('http'));
      assert.equal(addresses.length, 1);
      assert.ok(ENDPOINTS.includes(addresses[0]), addresses[0]);
      if (tickets.url && page !== 'cursor.md') assert.equal(tickets.type, 'http');
    }
  });
}

test('the_program_of_claude_desktop_takes_its_words', () => {
  const [file] = blocks('claude-desktop.md', 'json').map((text) => JSON.parse(text));
  const { command, args } = file.mcpServers.tickets;
  assert.ok(path.isAbsolute(command), 'it does not look along PATH');
  execFileSync(BINARY, [...args, '--help'], { stdio: 'ignore' });
});

test('mcp_remote_knows_the_options_that_are_named', () => {
  const help = readFileSync(path.join(import.meta.dirname, 'node_modules/mcp-remote/README.md'), 'utf8');
  const ofOthers = /\bmandate [^`)\n]*/g;
  for (const option of text('mcp-remote.md').replaceAll(ofOthers, '').match(/--[a-z][a-z-]+/g)) {
    assert.ok(help.includes(option), option);
  }
  const { bin } = JSON.parse(readFileSync(path.join(import.meta.dirname, 'node_modules/mcp-remote/package.json'), 'utf8'));
  assert.ok('mcp-remote' in bin && 'mcp-remote-client' in bin);
});

test('vs_code_is_given_json', () => {
  const [line] = commands('vs-code.md', 'code ');
  const entry = JSON.parse(line.match(/^code --add-mcp '(.*)'$/)[1]);
  assert.deepEqual(entry, { name: 'tickets', type: 'http', url: ENDPOINTS[0] });
});
