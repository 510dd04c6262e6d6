// The official suite as a child process, and what it has found.
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { parse } from 'yaml';
import { start } from './children.mjs';

const HERE = path.dirname(fileURLToPath(import.meta.url));
const PACKAGE = path.join(HERE, 'node_modules/@modelcontextprotocol/conformance');
const LIMIT_MS = 240_000;
const NEEDED_NODE = 22;

/** The suite needs a newer Node.js than many systems have; npm brings one along. */
function node() {
  const brought = path.join(HERE, `node_modules/node-${process.platform}-${process.arch}/bin/node`);
  if (existsSync(brought)) return brought;
  if (Number(process.versions.node.split('.')[0]) >= NEEDED_NODE) return process.execPath;
  throw new Error(`the suite needs Node.js ${NEEDED_NODE}: run npm ci in ${HERE}, or use a newer Node.js`);
}

/** The scenarios that a revision scores. */
export async function scored(revision) {
  const text = await readFile(path.join(PACKAGE, `requirements/${revision}.yaml`), 'utf8');
  return parse(text).server;
}

/** The entries of a baseline: scenario, and check where only one may fail. */
export async function entries(baseline) {
  const listed = parse(await readFile(path.join(HERE, baseline), 'utf8')).server ?? [];
  return listed.map((entry) => entry.split(':'));
}

/** The path of a file that lies here. */
export const here = (name) => path.join(HERE, name);

/**
 * Runs the suite with `words`; `heard(line, stop)` is called for each line that it prints. Ends with its exit code,
 * what it printed, and the checks of each scenario.
 */
export async function runSuite(words, heard = () => {}) {
  const out = await mkdtemp(path.join(tmpdir(), 'mandate-suite-'));
  try {
    const child = start(node(), [path.join(PACKAGE, 'dist/index.js'), ...words, '-o', out], {
      env: { PATH: process.env.PATH, HOME: out },
    });
    const late = setTimeout(() => child.kill('SIGKILL'), LIMIT_MS);
    let printed = '';
    for (const stream of [child.stdout, child.stderr]) {
      let line = '';
      stream.setEncoding('utf8').on('data', (text) => {
        printed += text;
        const lines = (line + text).split('\n');
        line = lines.pop();
        lines.forEach((one) => heard(one, () => child.kill()));
      });
    }
    const [code] = await once(child, 'close');
    clearTimeout(late);
    return { code, printed, scenarios: await collect(out) };
  } finally {
    await rm(out, { recursive: true, force: true });
  }
}

/** The checks by scenario. A folder is called `<kind>-<scenario>-<time>`. */
async function collect(out) {
  const scenarios = new Map();
  for (const folder of await readdir(out)) {
    const name = /^(?:authorization-server|server)-(.+)-\d{4}-\d\d-\d\dT[\d-]+Z$/.exec(folder)?.[1];
    if (!name) throw new Error(`the suite has left ${folder}, which is no result`);
    scenarios.set(name, JSON.parse(await readFile(path.join(out, folder, 'checks.json'), 'utf8')));
  }
  return scenarios;
}

/** How many checks of a status there are. */
export const count = (checks, ...statuses) => checks.filter((check) => statuses.includes(check.status)).length;

/** Neither failed nor warned, and something was looked at. */
export const passed = (checks) =>
  count(checks, 'FAILURE', 'WARNING') === 0 && count(checks, 'SUCCESS') > 0;
