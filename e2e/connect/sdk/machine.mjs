// A person's machine: a home of its own, a browser that says yes, and clients that run the bridge as they are told to.
import { execFileSync } from 'node:child_process';
import { chmodSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { Client as CurrentClient } from '@modelcontextprotocol/client';
import { StdioClientTransport as CurrentTransport } from '@modelcontextprotocol/client/stdio';
import { Client as FirstClient } from '@modelcontextprotocol/sdk/client/index.js';
import { StdioClientTransport as FirstTransport } from '@modelcontextprotocol/sdk/client/stdio.js';

const FOLDER = path.dirname(fileURLToPath(import.meta.url));
const BINARY = process.env.MANDATE_BIN ?? path.resolve(FOLDER, '../../../target/debug/mandate');
const ABOUT = { name: 'mandate-connect-e2e', version: '1.0.0' };

export class Machine {
  constructor() {
    this.home = mkdtempSync(path.join(tmpdir(), 'mandate-connect-'));
    this.visits = path.join(this.home, 'visits');
    this.browser = path.join(this.home, 'browser');
    const visit = path.join(FOLDER, 'visit.mjs');
    writeFileSync(this.browser, `#!/bin/sh\necho x >> '${this.visits}'\nexec '${process.execPath}' '${visit}' "$1"\n`);
    chmodSync(this.browser, 0o755);
  }

  /** How often a person was asked. */
  get dances() {
    return existsSync(this.visits) ? readFileSync(this.visits, 'utf8').trim().split('\n').length : 0;
  }

  /** How a client is told to start the bridge. */
  command(url, options = []) {
    const env = { HOME: this.home, BROWSER: this.browser, PATH: process.env.PATH };
    return { command: BINARY, args: ['connect', '--token-store', 'file', ...options, url], env, stderr: 'inherit' };
  }

  /** A client of the SDK's first line, which opens with `initialize`. */
  async first(url, capabilities = {}, options = []) {
    const client = new FirstClient(ABOUT, { capabilities });
    client.open = () => client.connect(new FirstTransport(this.command(url, options)));
    return client;
  }

  /** A client of its current line, which finds out by itself what the server speaks. */
  async current(url) {
    const client = new CurrentClient(ABOUT, { versionNegotiation: { mode: 'auto' } });
    await client.connect(new CurrentTransport(this.command(url)));
    return client;
  }

  signOut(url) {
    const { command, args, env } = this.command(url);
    execFileSync(command, [...args, '--sign-out'], { env, stdio: 'ignore' });
  }

  remove() {
    rmSync(this.home, { recursive: true, force: true });
  }
}
