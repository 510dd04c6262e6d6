// One server under test: the product or the fixtures, in a temporary directory, behind a proxy, with a token.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import net from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { start } from './children.mjs';
import { obtainToken, Person } from './dance.mjs';
import { Proxy } from './proxy.mjs';

const START_LIMIT_MS = 60_000;
const STOP_LIMIT_MS = 10_000;
const USER = 'alice';
// The suite calls faster than people do.
const RATES = '[mcp]\nreads_per_minute = 100000\nwrites_per_minute = 100000\n';

/** A running server. */
export class Target {
  #child;
  #output = '';

  /** Starts `binary` with `words`; ready when it has a token. */
  static async start(binary, words) {
    const target = new Target();
    target.folder = await mkdtemp(path.join(tmpdir(), 'mandate-conformance-'));
    try {
      await target.#open(binary, words);
    } catch (error) {
      await target.stop();
      throw error;
    }
    return target;
  }

  /** The address that clients know: that of the proxy. */
  get origin() {
    return this.proxy.origin;
  }

  /** A person who is not signed in yet. */
  person() {
    const password = new RegExp(`\\b${USER}\\b +password +(\\S+)`).exec(this.#output)?.[1];
    assert.ok(password, `the start printed no password of ${USER}:\n${this.#output}`);
    return new Person(this.origin, USER, password);
  }

  async #open(binary, words) {
    this.proxy = await Proxy.listen();
    const port = await freePort();
    this.proxy.lead(port);
    const config = path.join(this.folder, 'mandate.toml');
    await writeFile(config, RATES);
    this.#child = start(binary, [...words, '--config', config], {
      cwd: this.folder,
      env: {
        PATH: process.env.PATH,
        HOME: this.folder,
        MANDATE_LISTEN: `127.0.0.1:${port}`,
        MANDATE_PUBLIC_URL: this.origin,
        MANDATE_DATABASE_URL: `sqlite://${path.join(this.folder, 'mandate.db')}`,
      },
    });
    this.#child.on('error', (error) => (this.#output += `${error}\n`));
    for (const stream of [this.#child.stdout, this.#child.stderr]) {
      stream.setEncoding('utf8').on('data', (text) => (this.#output += text));
    }
    await this.#ready();
    this.proxy.token = await obtainToken(this.origin, this.person());
  }

  async #ready() {
    const limit = Date.now() + START_LIMIT_MS;
    while (Date.now() < limit) {
      assert.ok(this.#child.pid && this.#child.exitCode === null, `the server did not start:\n${this.#output}`);
      const answer = await fetch(`${this.origin}/ready`).catch(() => undefined);
      await answer?.body?.cancel();
      if (answer?.status === 200) return;
      await pause(50);
    }
    throw new Error(`GET /ready was not 200 within ${START_LIMIT_MS} ms:\n${this.#output}`);
  }

  /** The end of what the server has printed. */
  get log() {
    return this.#output.slice(-4000);
  }

  async stop() {
    await this.proxy?.close();
    if (this.#child?.pid && this.#child.exitCode === null && this.#child.signalCode === null) {
      const ended = once(this.#child, 'exit');
      this.#child.kill('SIGTERM');
      const late = setTimeout(() => this.#child.kill('SIGKILL'), STOP_LIMIT_MS);
      await ended;
      clearTimeout(late);
    }
    await rm(this.folder, { recursive: true, force: true });
  }
}

/** A port of 127.0.0.1 that was free a moment ago. */
export async function freePort() {
  const probe = net.createServer().listen(0, '127.0.0.1');
  await once(probe, 'listening');
  const { port } = probe.address();
  probe.close();
  await once(probe, 'close');
  return port;
}
