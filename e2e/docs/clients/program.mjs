// A program as a person runs it: in a home of its own, at a terminal if it wants one, with no browser but the test's.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';

const LIMIT_MS = 45_000;
// What terminals take as commands: colours, links, the cursor.
// eslint-disable-next-line no-control-regex
const CONTROLS = /\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)|\x1b\[[0-9;?]*[A-Za-z]/g;

/** A home that nobody lives in yet. */
export class Home {
  static async make() {
    const home = new Home();
    home.folder = await mkdtemp(path.join(tmpdir(), 'mandate-client-'));
    return home;
  }

  /** The environment of a program here: nothing of the test's own but where programs are, and no way outside. */
  environment(further = {}) {
    const own = { HOME: this.folder, PATH: process.env.PATH, BROWSER: '/bin/true', TERM: 'xterm', LANG: 'C.UTF-8' };
    const nowhere = { HTTPS_PROXY: 'http://127.0.0.1:9', NO_PROXY: 'localhost,127.0.0.1' };
    return { ...own, ...nowhere, ...further };
  }

  async remove() {
    await rm(this.folder, { recursive: true, force: true, maxRetries: 5, retryDelay: 100 });
  }
}

/** Those that still run, which end with the test, however that ends. */
const running = new Set();
process.once('exit', () => running.forEach((program) => program.kill('SIGKILL')));

/** A running program. */
export class Program {
  #output = '';

  /** `terminal` gives it one; its streams are then one. */
  static start(home, words, { terminal = false, cwd = home.folder, env = {} } = {}) {
    const program = new Program();
    const quoted = words.map((word) => `'${word.replaceAll("'", `'\\''`)}'`).join(' ');
    const [command, ...args] = terminal ? ['script', '--quiet', '--flush', '--return', '--command', quoted, '/dev/null'] : words;
    // A group of its own, so that it ends with all that it started.
    program.child = spawn(command, args, { cwd, env: home.environment(env), detached: true });
    running.add(program);
    program.ended = once(program.child, 'close').then(([code]) => {
      running.delete(program);
      return code;
    });
    program.words = words.join(' ');
    program.stdout = '';
    program.child.stdout.setEncoding('utf8').on('data', (text) => {
      program.stdout += text;
      program.#output += text;
    });
    program.child.stderr.setEncoding('utf8').on('data', (text) => (program.#output += text));
    return program;
  }

  /** All that it said, without what only a terminal understands. */
  get output() {
    return this.#output.replace(CONTROLS, '').replaceAll('\r', '');
  }

  /** Waits until it says something of this form, and returns the match. */
  async says(pattern) {
    for (const limit = Date.now() + LIMIT_MS; Date.now() < limit; await pause(50)) {
      const found = this.output.match(pattern);
      if (found) return found;
      if (this.child.exitCode !== null) break;
    }
    throw new Error(`${this.words} did not say ${pattern}:\n${this.output}`);
  }

  /** The address at which it wants its person. */
  async authorizeUrl() {
    const [url] = await this.says(/https?:\/\/[^\s"'<>]+\/authorize\?[^\s"'<>]+(?=\s)/);
    return url;
  }

  /** Waits for its end, which must be good. */
  async succeeds() {
    const late = setTimeout(() => this.kill('SIGKILL'), LIMIT_MS);
    const code = await this.ended;
    clearTimeout(late);
    assert.equal(code, 0, `${this.words} ended with ${code}:\n${this.output}`);
    return this.output;
  }

  async stop() {
    if (this.child.exitCode !== null || this.child.signalCode !== null) return;
    this.kill('SIGTERM');
    const late = setTimeout(() => this.kill('SIGKILL'), 3000);
    await this.ended;
    clearTimeout(late);
  }

  /** Sends a signal to it and all that it started. */
  kill(signal) {
    try {
      process.kill(-this.child.pid, signal);
    } catch {
      // It is gone already.
    }
  }
}

/** Runs a program to its good end. */
export async function run(home, words, options) {
  return Program.start(home, words, options).succeeds();
}

/** JSON-RPC over a program's pipes, one message a line, as clients of stdio servers speak it. */
export class Pipe {
  #last = 0;
  #read = 0;

  constructor(program) {
    this.program = program;
  }

  send(message) {
    this.program.child.stdin.write(`${JSON.stringify({ jsonrpc: '2.0', ...message })}\n`);
  }

  /** Asks, and waits for the answer; what else comes meanwhile goes to `heard`. */
  async ask(method, params, heard = () => {}) {
    const id = (this.#last += 1);
    this.send({ id, method, params });
    for (const limit = Date.now() + LIMIT_MS; Date.now() < limit; await pause(20)) {
      for (let end; (end = this.program.stdout.indexOf('\n', this.#read)) >= 0; ) {
        const line = this.program.stdout.slice(this.#read, end);
        this.#read = end + 1;
        if (!line.startsWith('{')) continue;
        const message = JSON.parse(line);
        if (message.id === id && !message.method) return message;
        heard(message);
      }
      assert.equal(this.program.child.exitCode, null, this.program.output);
    }
    throw new Error(`no answer to ${method}:\n${this.program.output}`);
  }
}
