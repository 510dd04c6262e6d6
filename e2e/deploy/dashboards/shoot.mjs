// Draws the dashboard as its file says, from what a Prometheus answers: each panel in its place, with its queries, legend,
// unit and thresholds. Prints what each panel shows, and ends with 1 when one shows nothing.
//
//   node shoot.mjs PROMETHEUS FROM TO INTERVAL FOLDER      FROM and TO in seconds since 1970
import { mkdir, mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { chromium } from 'playwright-core';

const EXECUTABLE = process.env.CHROMIUM_BIN ?? '/usr/bin/chromium';
const FLAGS = [
  '--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run',
  '--disable-background-networking', '--disable-component-update', '--disable-sync',
];
const HERE = import.meta.dirname;
const DASHBOARD = path.join(HERE, '../../../deploy/watch/mandate.json');
const STEPS = 240;

const [prometheus, from, to, interval, folder] = process.argv.slice(2);

/** What the dashboard offers as jobs, all of them chosen. */
async function allJobs({ allValue, query }) {
  if (allValue) return allValue;
  const [, series] = /^label_values\((\w+), job\)$/.exec(query.query);
  const url = `${prometheus}/api/v1/label/job/values?${new URLSearchParams({ 'match[]': series })}`;
  return (await (await fetch(url)).json()).data.join('|');
}

/** A query as Grafana would send it. */
async function ask(expression) {
  const query = expression.replaceAll('$__rate_interval', interval).replaceAll('$job', jobs);
  const step = Math.max(1, (to - from) / STEPS);
  const url = `${prometheus}/api/v1/query_range?${new URLSearchParams({ query, start: from, end: to, step })}`;
  const answer = await (await fetch(url)).json();
  if (answer.status !== 'success') throw new Error(`${query}: ${answer.error}`);
  return answer.data.result;
}

/** What a series is called in the legend. */
function named(legend, labels) {
  return legend.replace(/{{\s*(\w+)\s*}}/g, (_, label) => labels[label] ?? '');
}

async function filled(panel) {
  const answers = await Promise.all((panel.targets ?? []).map(({ expr }) => ask(expr)));
  const series = answers.flatMap((result, index) =>
    result.map(({ metric, values }) => ({
      name: named(panel.targets[index].legendFormat, metric),
      points: values.map(([time, value]) => [time, Number(value)]).filter(([, value]) => Number.isFinite(value)),
    })),
  );
  return { ...panel, series: series.filter(({ points }) => points.length > 0) };
}

const dashboard = JSON.parse(await readFile(DASHBOARD, 'utf8'));
const jobs = await allJobs(dashboard.templating.list.find(({ name }) => name === 'job'));
dashboard.panels = await Promise.all(dashboard.panels.map(filled));
await mkdir(folder, { recursive: true });
const profile = await mkdtemp(path.join(tmpdir(), 'mandate-chromium-'));
const browser = await chromium.launch({
  executablePath: EXECUTABLE,
  ignoreDefaultArgs: true,
  args: [...FLAGS, '--remote-debugging-pipe', `--user-data-dir=${profile}`, 'about:blank'],
});
try {
  const page = await browser.newPage({ viewport: { width: 1720, height: 1000 } });
  page.on('pageerror', (error) => {
    console.error(error.message);
    process.exitCode = 1;
  });
  const library = path.join(HERE, 'node_modules/uplot/dist');
  await page.setContent('<!doctype html><html lang="en"><meta charset="utf-8"><body></body></html>');
  await page.addStyleTag({ path: path.join(library, 'uPlot.min.css') });
  await page.addStyleTag({ path: path.join(HERE, 'page.css') });
  await page.addScriptTag({ path: path.join(library, 'uPlot.iife.min.js') });
  await page.addScriptTag({ path: path.join(HERE, 'page.js') });
  await page.evaluate((drawn) => globalThis.draw(drawn), { dashboard, from: Number(from), to: Number(to) });
  await page.screenshot({ path: path.join(folder, 'dashboards.png'), fullPage: true });
  // Of what Prometheus's own pages complain is not ours.
  page.removeAllListeners('pageerror');
  await page.goto(`${prometheus}/classic/alerts`);
  await page.screenshot({ path: path.join(folder, 'dashboards-alerts.png'), fullPage: true });
} finally {
  await browser.close();
  await rm(profile, { recursive: true, force: true });
}
for (const { type, title, series } of dashboard.panels) {
  if (type === 'row') continue;
  console.log(`${title}: ${series.map(({ name }) => name || 'one number').join(', ') || 'NOTHING'}`);
  if (series.length === 0) process.exitCode = 1;
}
