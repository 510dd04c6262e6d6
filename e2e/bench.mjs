// How fast the binary is: calls per second, refreshes per second and memory, embedded and on PostgreSQL with Redis,
// one after the other in one run. The server has the first core to itself; the load and the databases have the rest.
//
//   cargo build --release && node e2e/bench.mjs [seconds for each load, 10 by default]
//
// Needs wrk, taskset, two cores, and a machine that does nothing else: what counts is the ratio of two columns of
// one run. `cpu` is what the server itself spent on each call, which others on the machine disturb least.
import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { existsSync, readFileSync, readdirSync, readlinkSync, writeFileSync } from 'node:fs';
import net from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as pause } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

const HERE = path.dirname(fileURLToPath(import.meta.url));
const BINARY = path.resolve(HERE, '..', process.env.MANDATE_BIN ?? 'target/release/mandate');
const SECONDS = Number(process.argv[2] ?? 10);
const CHAINS = 16;
/** The cores that the server leaves to the others. */
const REST = `1-${os.cpus().length - 1}`;
/** The most that may be configured: 16 000 calls per second. */
const UNLIMITED = 1_000_000;
const REDIRECT_URI = 'http://127.0.0.1:49152/callback';
const VERSION = '2025-11-25';

for (const [name, value] of Object.entries(process.env)) {
  if (name.startsWith('MANDATE_') && value !== undefined) delete process.env[name];
}

async function freePort() {
  const server = net.createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address();
  server.close();
  await once(server, 'close');
  return port;
}

/** A server under the keeper of the tests: it and its folder end with this process, in whatever way that ends. */
class Kept {
  static async open(name, end, programs = '') {
    const kept = new Kept();
    const script = readFileSync(path.join(HERE, 'support/services/keeper.sh'), 'utf8');
    const child = spawn('sh', ['-c', script, 'keeper', `mandate-bench-${name}`, end], {
      env: { ...process.env, PATH: `${programs}:${process.env.PATH}`, LC_ALL: 'C' },
      stdio: ['pipe', 'pipe', 'inherit'],
      detached: true,
    });
    kept.child = child;
    kept.lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
    kept.folder = (await kept.lines.next()).value;
    return kept;
  }

  async say(line) {
    this.child.stdin.write(`${line}\n`);
    return (await this.lines.next()).value;
  }

  async run(command) {
    assert.equal(await this.say(`run ${command}`), '0', `${command}: ${this.log}`);
  }

  async start(command, ready) {
    await this.say(`start ${command}`);
    for (let tries = 0; tries < 600; tries += 1) {
      if (await ready()) return;
      await pause(50);
    }
    throw new Error(`not ready: ${command}\n${this.log}`);
  }

  get log() {
    return readFileSync(path.join(this.folder, 'log'), 'utf8');
  }

  async end() {
    this.child.stdin.end();
    await once(this.child, 'exit');
  }
}

function answers(port) {
  return new Promise((resolve) => {
    const socket = net.connect(port, '127.0.0.1');
    socket.once('connect', () => resolve(true)).once('error', () => resolve(false));
    socket.once('connect', () => socket.destroy());
  });
}

async function startPostgres() {
  const versions = existsSync('/usr/lib/postgresql') ? readdirSync('/usr/lib/postgresql') : [];
  const newest = versions.sort((a, b) => b - a)[0];
  const kept = await Kept.open('postgres', 'QUIT', newest ? `/usr/lib/postgresql/${newest}/bin` : '');
  const isRoot = process.getuid() === 0;
  if (isRoot) await kept.run('chown postgres: .');
  const as = isRoot ? 'setpriv --reuid=postgres --regid=postgres --clear-groups ' : '';
  await kept.run(`${as}initdb --pgdata=data --username=postgres --auth=trust --encoding=UTF8 --locale=C.UTF-8 --no-sync`);
  const port = await freePort();
  // As in production, commits are flushed to the disk.
  const settings = '-c listen_addresses=127.0.0.1 -c shared_buffers=256MB';
  await kept.start(`taskset -c ${REST} ${as}postgres -D data -p ${port} -k . ${settings}`, () =>
    kept.log.includes('ready to accept connections'),
  );
  kept.url = `postgres://postgres@127.0.0.1:${port}/postgres`;
  return kept;
}

async function startRedis() {
  const kept = await Kept.open('redis', 'KILL');
  kept.port = await freePort();
  writeFileSync(path.join(kept.folder, 'redis.conf'), 'bind 127.0.0.1\nsave ""\nappendonly no\n');
  await kept.start(`taskset -c ${REST} redis-server redis.conf --port ${kept.port}`, () => answers(kept.port));
  kept.url = `redis://127.0.0.1:${kept.port}`;
  return kept;
}

/** How often each command was sent to Redis. */
function commands(redis) {
  const text = execFileSync('redis-cli', ['-p', redis.port, 'info', 'commandstats'], { encoding: 'utf8' });
  return new Map([...text.matchAll(/cmdstat_([^:]+):calls=(\d+)/g)].map(([, name, calls]) => [name, Number(calls)]));
}

/** The binary with its demo users and tickets. */
class Mandate {
  static async start(settings) {
    const mandate = new Mandate();
    const kept = (mandate.kept = await Kept.open('server', 'TERM'));
    const port = await freePort();
    mandate.url = `http://localhost:${port}`;
    const lines = [
      `listen = "127.0.0.1:${port}"`,
      `public_url = "${mandate.url}"`,
      'log = "warn"',
      'secret_key_file = "mandate.key"',
      ...Object.entries(settings).map(([key, value]) => `${key} = "${value}"`),
      `[mcp]\nreads_per_minute = ${UNLIMITED}\nwrites_per_minute = ${UNLIMITED}`,
      `[limits]\ntoken_requests_per_minute = ${UNLIMITED}\nauthorizations_per_minute = ${UNLIMITED}`,
    ];
    writeFileSync(path.join(kept.folder, 'mandate.toml'), lines.join('\n'));
    const ready = async () => (await fetch(`${mandate.url}/ready`).catch(() => undefined))?.status === 200;
    await kept.start(`taskset -c 0 ${BINARY} serve --demo --config mandate.toml`, ready);
    mandate.password = /alice\s+password (\S+)/.exec(kept.log)[1];
    const processes = readdirSync('/proc').filter((name) => /^\d+$/.test(name));
    mandate.pid = processes.find((pid) => isIt(pid, kept.folder));
    return mandate;
  }

  /** Memory in megabytes. */
  get memory() {
    return Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${this.pid}/status`, 'utf8'))[1]) / 1024;
  }

  /** Seconds of a core that it has used. */
  get cpu() {
    const fields = readFileSync(`/proc/${this.pid}/stat`, 'utf8').split(') ')[1].split(' ');
    return (Number(fields[11]) + Number(fields[12])) / 100;
  }

  form(to, form, cookies = '') {
    const headers = { cookie: cookies, 'sec-fetch-site': 'same-origin', origin: 'null' };
    return fetch(this.url + to, { method: 'POST', body: new URLSearchParams(form), headers, redirect: 'manual' });
  }

  /** The whole dance; returns the answer of the token endpoint, with the client. */
  async authorize() {
    const metadata = { client_name: 'Bench', redirect_uris: [REDIRECT_URI], token_endpoint_auth_method: 'none' };
    const headers = { 'content-type': 'application/json' };
    const registered = await fetch(`${this.url}/register`, { method: 'POST', headers, body: JSON.stringify(metadata) });
    const { client_id } = await registered.json();
    const verifier = randomBytes(32).toString('base64url');
    const query = new URLSearchParams({
      response_type: 'code',
      client_id,
      redirect_uri: REDIRECT_URI,
      code_challenge: createHash('sha256').update(verifier).digest('base64url'),
      code_challenge_method: 'S256',
    });
    const cookies = new Map();
    const keep = (answer) => {
      for (const cookie of answer.headers.getSetCookie()) {
        const [, name, value] = /^([^=]+)=([^;]*)/.exec(cookie);
        if (cookie.includes('Max-Age=0')) cookies.delete(name);
        else cookies.set(name, value);
      }
      return answer;
    };
    const jar = () => [...cookies].map(([name, value]) => `${name}=${value}`).join('; ');
    const get = async (to) => keep(await fetch(this.url + to, { headers: { cookie: jar() }, redirect: 'manual' }));
    const hidden = (page, name) => new RegExp(`name="${name}" value="([^"]*)"`).exec(page)?.[1];
    let answer = await get(`/authorize?${query}`);
    if (answer.headers.get('location').startsWith('/login')) {
      const page = await (await get(answer.headers.get('location'))).text();
      const form = { csrf: hidden(page, 'csrf'), username: 'alice', password: this.password, flow: hidden(page, 'flow') };
      answer = keep(await this.form('/login', form, jar()));
    }
    const consent = answer.headers.get('location');
    const page = await (await get(consent)).text();
    const decision = [['csrf', hidden(page, 'csrf')], ['decision', 'allow'], ['scope', 'tickets:read'], ['scope', 'tickets:write']];
    answer = await this.form(consent, decision, jar());
    const code = new URL(answer.headers.get('location')).searchParams.get('code');
    const form = { grant_type: 'authorization_code', client_id, code, code_verifier: verifier };
    const tokens = await (await this.form('/token', form)).json();
    assert.ok(tokens.refresh_token, JSON.stringify(tokens));
    return { ...tokens, client_id };
  }

  /** Calls a tool once and looks at the result. */
  async call(token, body) {
    const answer = await fetch(`${this.url}/mcp`, { method: 'POST', headers: headers(token), body });
    const text = await answer.text();
    assert.equal(answer.status, 200, text);
    assert.ok(text.includes('structuredContent') && !text.includes('"isError":true'), text);
  }
}

function isIt(pid, folder) {
  try {
    return readlinkSync(`/proc/${pid}/cwd`) === folder && readFileSync(`/proc/${pid}/comm`, 'utf8') === 'mandate\n';
  } catch {
    return false;
  }
}

function headers(token) {
  return {
    authorization: `Bearer ${token}`,
    'content-type': 'application/json',
    accept: 'application/json, text/event-stream',
    'mcp-protocol-version': VERSION,
  };
}

/** A call; `KEY` in it is another word each time. */
function call(name, args) {
  return JSON.stringify({ jsonrpc: '2.0', id: 7, method: 'tools/call', params: { name, arguments: args } });
}

const CALLS = {
  get_ticket: call('get_ticket', { id: 'T-7' }),
  search_tickets: call('search_tickets', { query: 'printer' }),
  create_ticket: call('create_ticket', {
    title: 'Printer in room 17',
    body: 'It prints nothing since this morning.',
    idempotency_key: 'KEY',
  }),
};

/** wrk sends this for a while; returns calls per second, the worst of a hundred, and the server's time for each. */
async function load(mandate, token, body) {
  const script = path.join(mandate.kept.folder, 'load.lua');
  const head = Object.entries(headers(token)).map(([name, value]) => `wrk.headers["${name}"] = "${value}"`);
  writeFileSync(
    script,
    `wrk.method = "POST"
${head.join('\n')}
local body, count = [[${body}]], 0
request = function()
  count = count + 1
  return wrk.format(nil, "/mcp", nil, (body:gsub("KEY", "${randomBytes(4).toString('hex')}-" .. count)))
end
done = function(summary, latency)
  local errors = summary.errors
  io.write(string.format("RESULT %d %d %d %d\\n", summary.requests, summary.duration, latency:percentile(99),
    errors.status + errors.connect + errors.read + errors.write + errors.timeout))
end
`,
  );
  const wrk = ['-c', REST, 'wrk', '-t1', '-c32', '-s', script, mandate.url];
  execFileSync('taskset', [...wrk, '-d2s']);
  const before = mandate.cpu;
  const said = execFileSync('taskset', [...wrk, `-d${SECONDS}s`], { encoding: 'utf8' });
  const [requests, duration, late, errors] = /RESULT (.*)/.exec(said)[1].split(' ').map(Number);
  assert.equal(errors, 0, said);
  const perSecond = requests / (duration / 1e6);
  return { perSecond, late: late / 1000, cpu: ((mandate.cpu - before) / requests) * 1e6 };
}

/** Chains of refreshes side by side, each from the token before. */
async function refreshes(mandate, grants) {
  const before = mandate.cpu;
  const begun = performance.now();
  let done = 0;
  const late = [];
  const chain = async ({ client_id, refresh_token }) => {
    for (let token = refresh_token; performance.now() - begun < SECONDS * 1000; done += 1) {
      const sent = performance.now();
      const answer = await mandate.form('/token', { grant_type: 'refresh_token', client_id, refresh_token: token });
      token = (await answer.json()).refresh_token;
      assert.ok(token, `a refresh was refused with ${answer.status}`);
      late.push(performance.now() - sent);
    }
  };
  await Promise.all(grants.map(chain));
  late.sort((a, b) => a - b);
  const perSecond = done / ((performance.now() - begun) / 1000);
  return { perSecond, late: late[Math.floor(late.length * 0.99)], cpu: ((mandate.cpu - before) / done) * 1e6 };
}

/** What 200 calls one after another send to Redis, once the grant is remembered. */
async function roundTrips(mandate, token, redis, body) {
  const once = (count) => mandate.call(token, body.replace('KEY', `${randomBytes(4).toString('hex')}-${count}`));
  await once(0);
  const before = commands(redis);
  for (let count = 1; count <= 200; count += 1) await once(count);
  const sent = [...commands(redis)].map(([name, calls]) => [name, calls - (before.get(name) ?? 0)]);
  // What scripts do inside is counted too, under the names of the commands; a round trip is a script.
  return sent.filter(([name, calls]) => calls > 0 && /^(evalsha|eval|script|ping)/.test(name))
    .map(([name, calls]) => `${calls} ${name}`).join(', ');
}

async function measure(settings, redis) {
  const mandate = await Mandate.start(settings);
  const grants = [];
  for (let count = 0; count < CHAINS; count += 1) grants.push(await mandate.authorize());
  const token = grants[0].access_token;
  const column = { 'memory, idle': `${mandate.memory.toFixed(0)} MB` };
  for (const [name, body] of Object.entries(CALLS)) {
    await mandate.call(token, body.replace('KEY', 'first'));
    if (redis) column[`${name}: 200 calls to Redis`] = await roundTrips(mandate, token, redis, body);
    column[name] = await load(mandate, token, body);
  }
  column.refresh = await refreshes(mandate, grants);
  column['memory, after the load'] = `${mandate.memory.toFixed(0)} MB`;
  await mandate.kept.end();
  return column;
}

assert.ok(existsSync(BINARY), `${BINARY} is missing: cargo build --release`);
const embedded = await measure({ database_url: 'sqlite://./mandate.db' });
const [postgres, redis] = [await startPostgres(), await startRedis()];
const services = await measure({ database_url: postgres.url, redis_url: redis.url }, redis);
await Promise.all([postgres.end(), redis.end()]);

const said = (value) =>
  typeof value === 'object'
    ? `${value.perSecond.toFixed(0)}/s, p99 ${value.late.toFixed(1)} ms, cpu ${value.cpu.toFixed(0)} µs`
    : (value ?? '');
console.log(`${''.padEnd(38)}${'embedded'.padEnd(40)}${'PostgreSQL and Redis'.padEnd(40)}ratio`);
for (const [name, value] of Object.entries(services)) {
  const other = embedded[name];
  const ratio = other?.perSecond ? (value.perSecond / other.perSecond).toFixed(2) : '';
  console.log(`${name.padEnd(38)}${said(other).padEnd(40)}${said(value).padEnd(40)}${ratio}`);
}
