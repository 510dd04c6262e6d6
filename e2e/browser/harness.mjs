// Starts the real binary for one test file: a free port, a temporary directory, the demo users, a clean end.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import net from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { launchBrowser } from './browser.mjs';
import { DocumentHost } from './documents.mjs';

/** The repository's top folder. */
export const ROOT = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '../..');
/** The binary under test. */
export const BINARY = path.resolve(ROOT, process.env.MANDATE_BIN ?? 'target/debug/mandate');
const START_LIMIT_MS = 30_000;
const STOP_LIMIT_MS = 20_000;

/** One running `mandate serve`. */
export class Mandate {
  #child;
  #output = '';

  /**
   * `demo: false` starts with an empty database, which prints a setup link;
   * `toml` is added to the configuration file as it stands.
   */
  static async start({ demo = true, toml = '' } = {}) {
    const mandate = new Mandate();
    mandate.folder = await mkdtemp(path.join(tmpdir(), 'mandate-browser-'));
    const port = await freePort();
    mandate.url = `http://localhost:${port}`;
    mandate.mcpUrl = `${mandate.url}/mcp`;
    mandate.config = path.join(mandate.folder, 'mandate.toml');
    await writeFile(mandate.config, toml);
    mandate.environment = {
      PATH: process.env.PATH,
      HOME: mandate.folder,
      MANDATE_LISTEN: `127.0.0.1:${port}`,
      MANDATE_PUBLIC_URL: mandate.url,
      MANDATE_DATABASE_URL: `sqlite://${path.join(mandate.folder, 'mandate.db')}`,
    };
    const words = ['serve', '--config', mandate.config, ...(demo ? ['--demo'] : [])];
    mandate.#child = spawn(BINARY, words, {
      cwd: mandate.folder,
      env: mandate.environment,
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    for (const stream of [mandate.#child.stdout, mandate.#child.stderr]) {
      stream.setEncoding('utf8').on('data', (text) => (mandate.#output += text));
    }
    await mandate.#ready();
    return mandate;
  }

  /** Everything the process has printed so far, on both streams. */
  get output() {
    return this.#output;
  }

  async #ready() {
    const limit = Date.now() + START_LIMIT_MS;
    while (Date.now() < limit) {
      assert.equal(this.#child.exitCode, null, `the server ended at its start:\n${this.#output}`);
      const answer = await fetch(`${this.url}/ready`).catch(() => undefined);
      await answer?.body?.cancel();
      if (answer?.status === 200) return;
      await pause(50);
    }
    throw new Error(`GET /ready was not 200 within ${START_LIMIT_MS} ms:\n${this.#output}`);
  }

  /** The password of a demo user, as the start printed it. */
  password(user) {
    const line = this.#output.split('\n').find((text) => new RegExp(`\\b${user}\\b`).test(text));
    const found = line?.match(new RegExp(`\\b${user}\\b\\W+(?:password\\W+)?(\\S+)`, 'i'));
    assert.ok(found, `no line of the start names ${user} and a password:\n${this.#output}`);
    return found[1];
  }

  /** The first URL of the start's output that contains `part`. */
  printedUrl(part) {
    const found = (this.#output.match(/https?:\/\/[^\s"'<>]+/g) ?? []).find((url) => url.includes(part));
    assert.ok(found, `the start printed no URL with ${part}:\n${this.#output}`);
    return found;
  }

  /** Runs another command of the binary on the same store; `input` goes to its standard input. */
  async command(words, input = '') {
    const child = spawn(BINARY, [...words, '--config', this.config], { cwd: this.folder, env: this.environment });
    let text = '';
    let errors = '';
    child.stdout.setEncoding('utf8').on('data', (part) => (text += part));
    child.stderr.setEncoding('utf8').on('data', (part) => (errors += part));
    child.stdin.end(input);
    const [code] = await once(child, 'close');
    assert.equal(code, 0, `mandate ${words.join(' ')} ended with ${code}:\n${errors}`);
    return text;
  }

  /** Ends the process by its own id; a server that was asked to stop exits with 0. */
  async stop() {
    if (this.#child.exitCode === null) {
      const ended = once(this.#child, 'exit');
      this.#child.kill('SIGTERM');
      const late = setTimeout(() => this.#child.kill('SIGKILL'), STOP_LIMIT_MS);
      await ended;
      clearTimeout(late);
    }
    await rm(this.folder, { recursive: true, force: true });
    assert.equal(this.#child.exitCode, 0, `SIGTERM must drain and exit 0:\n${this.#output.slice(-4000)}`);
  }
}

/** What a test file needs: a server, a host for client metadata documents that the server trusts, a browser. */
export async function openWorld(options = {}) {
  const documents = await DocumentHost.start();
  const world = { documents };
  try {
    const outbound = `[outbound]\nextra_ca_file = "${documents.caFile}"\nallowed_hosts = ["${documents.host}"]\n`;
    world.mandate = await Mandate.start({ ...options, toml: outbound + (options.toml ?? '') });
    world.browser = await launchBrowser(world.mandate.url);
  } catch (error) {
    await closeWorld(world);
    throw error;
  }
  return world;
}

/** Ends everything `openWorld` started, in the reverse order; the server last, because it is judged. */
export async function closeWorld(world) {
  await world?.browser?.close();
  await world?.documents?.stop();
  await world?.mandate?.stop();
}

/** A port of 127.0.0.1 that was free a moment ago. */
async function freePort() {
  const probe = net.createServer().listen(0, '127.0.0.1');
  await once(probe, 'listening');
  const { port } = probe.address();
  probe.close();
  await once(probe, 'close');
  return port;
}

/** The pinned version of an installed package, for messages. */
export async function versionOf(name) {
  const file = new URL(`./node_modules/${name}/package.json`, import.meta.url);
  return JSON.parse(await readFile(file, 'utf8')).version;
}
