// Runs the official conformance suite against the product, against the suite's fixtures behind the same gate, and
// against the authorization server. Ends with a table, and with 1 when anything failed that must not.
//
//   node run.mjs                        everything
//   node run.mjs fixtures               only this part: product fixtures authorization
//   VERBOSE=1 node run.mjs product      with all that the suite prints
import path from 'node:path';
import { register } from './dance.mjs';
import { Report, SCORED } from './report.mjs';
import { here, runSuite } from './suite.mjs';
import { freePort, Target } from './target.mjs';

const BINARIES = path.resolve(here('../..'), process.env.MANDATE_BINARIES ?? 'target/debug');
const PRODUCT = [path.join(BINARIES, 'mandate'), ['serve', '--demo']];
const FIXTURES = [path.join(BINARIES, 'examples/conformance'), []];
/** How long a scenario may take; they take a second or two. */
const PATIENCE_MS = '15000';
/** What the suite runs without scoring it, and must pass all the same. */
const UNSCORED = {
  product: { '2026-07-28': ['http-header-validation'], '2025-11-25': ['server-session-lifecycle'] },
  fixtures: {
    '2026-07-28': ['http-header-validation', 'http-custom-header-server-validation', 'json-schema-2020-12'],
    '2025-11-25': ['server-session-lifecycle', 'json-schema-2020-12'],
  },
};

const report = new Report();

const PARTS = {
  product: () => against(PRODUCT, (target) => revisions('product', target, (revision) => `product-${revision}.yml`)),
  fixtures: () => against(FIXTURES, (target) => revisions('fixtures', target, () => 'fixtures.yml')),
  authorization: () => against(PRODUCT, authorization),
};

/** Both requirement sets, one after the other. */
async function revisions(what, target, baselineOf) {
  for (const revision of Object.keys(SCORED)) {
    const baseline = baselineOf(revision);
    const words = ['server', '--url', `${target.origin}/mcp`, '--requirements', revision, '--timeout', PATIENCE_MS];
    const run = await suite([...words, '--expected-failures', here(baseline)]);
    await report.addSet(what, revision, baseline, run);
    for (const scenario of UNSCORED[what][revision]) report.addScenario(what, revision, scenario, run);
  }
}

/** The suite as a client that prints where the person must go; the person goes there and allows it. */
async function authorization(target) {
  const port = await freePort();
  const clientId = await register(target.origin, `http://127.0.0.1:${port}/callback`);
  let allowing = Promise.resolve();
  const words = ['authorization', '--url', target.origin, '--resource', `${target.origin}/mcp`];
  const run = await suite([...words, '--client-id', clientId, '-p', String(port)], (line, stop) => {
    if (!line.startsWith(`${target.origin}/authorize?`)) return;
    allowing = target.person().allow(line).then(fetch).catch((error) => {
      report.complain(`authorization: ${error.message}`);
      stop();
    });
  });
  await allowing;
  if (run.code !== 0) report.complain(`authorization: the suite ended with ${run.code}`);
  for (const scenario of ['authorization-server-metadata-endpoint', 'authorization-code-grant']) {
    report.addScenario('authorization', '', scenario, run);
  }
}

async function suite(words, heard) {
  const run = await runSuite(words, heard);
  if (process.env.VERBOSE) console.log(run.printed);
  return run;
}

/** Starts a server for `walk`, and ends it whatever happens. */
async function against([binary, words], walk) {
  const target = await Target.start(binary, words);
  try {
    await walk(target);
  } catch (error) {
    console.error(target.log);
    throw error;
  } finally {
    await target.stop();
  }
}

// Whoever stops the run stops what it has started.
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => process.exit(1));

const chosen = process.argv.slice(2);
const unknown = chosen.filter((part) => !(part in PARTS));
if (unknown.length > 0) {
  console.error(`There is no part ${unknown.join(', ')}: ${Object.keys(PARTS).join(', ')}`);
  process.exit(2);
}
// They stand for themselves, each with its own server, so they run at once.
const parts = (chosen.length > 0 ? chosen : Object.keys(PARTS)).map(async (part) => {
  await PARTS[part]().catch((error) => report.complain(`${part}: ${error.stack}`));
});
await Promise.all(parts);
process.exitCode = report.print() ? 0 : 1;
