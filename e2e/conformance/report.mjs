// What a run has shown: a row for each thing that was run, and what is wrong, if anything.
import { count, entries, passed, scored } from './suite.mjs';

/** How many scenarios each revision scores, so that a set that shrinks is noticed. */
export const SCORED = { '2026-07-28': 37, '2025-11-25': 30 };

const TITLES = ['what', 'revision', 'passed', 'checks', 'failed', 'warned', 'excused'];
const LONGEST = 400;

/** Collects rows and problems. */
export class Report {
  #rows = [];
  #problems = [];

  /** A requirement set: every scored scenario must pass, but for what the baseline excuses. */
  async addSet(what, revision, baseline, run) {
    const all = await scored(revision);
    const excused = await entries(baseline);
    const complain = (text) => this.complain(`${what} ${revision}: ${text}`);
    if (all.length !== SCORED[revision]) complain(`${all.length} scenarios are scored, not ${SCORED[revision]}`);
    for (const [scenario, id] of excused) {
      const checks = run.scenarios.get(scenario) ?? [];
      const failed = count(checks.filter((check) => !id || check.id === id), 'FAILURE', 'WARNING') > 0;
      if (!failed) complain(`${baseline} excuses ${[scenario, id].filter(Boolean).join(':')}, which does not fail`);
    }
    const isExcused = (scenario) => excused.some(([name]) => name === scenario);
    const clean = all.filter((scenario) => passed(run.scenarios.get(scenario) ?? []));
    const failed = all.filter((scenario) => !clean.includes(scenario) && !isExcused(scenario));
    for (const scenario of failed) this.complain(`${what} ${revision}: ${scenario} failed`, run.scenarios.get(scenario));
    if (run.code !== 0) complain(`the suite ended with ${run.code}`);
    const checks = all.flatMap((scenario) => run.scenarios.get(scenario) ?? []);
    this.#row(what, revision, `${clean.length} of ${all.length}`, checks, String(excused.length));
  }

  /** A scenario that must pass as a whole, whether the suite scores it or not. */
  addScenario(what, revision, scenario, run) {
    const checks = run.scenarios.get(scenario) ?? [];
    if (!passed(checks)) this.complain(`${what} ${revision}: ${scenario} failed`, checks);
    this.#row(`${what}: ${scenario}`, revision, passed(checks) ? 'yes' : 'no', checks, '');
  }

  /** Says what is wrong, with the checks that show it. */
  complain(problem, checks = []) {
    this.#problems.push(problem);
    for (const check of checks.filter((one) => ['FAILURE', 'WARNING'].includes(one.status))) {
      this.#problems.push(`    ${check.id}: ${(check.errorMessage ?? check.description).slice(0, LONGEST)}`);
    }
  }

  #row(what, revision, verdict, checks, excused) {
    const counts = ['SUCCESS', 'FAILURE', 'WARNING'].map((status) => String(count(checks, status)));
    this.#rows.push([what, revision, verdict, ...counts, excused]);
  }

  /** Prints the table and the problems; says whether there are none. */
  print() {
    const table = [TITLES, ...this.#rows.sort(([a], [b]) => a.localeCompare(b))];
    const widths = TITLES.map((_, column) => Math.max(...table.map((row) => row[column].length)));
    console.log('');
    for (const row of table) console.log(row.map((cell, column) => cell.padEnd(widths[column])).join('  ').trimEnd());
    console.log('');
    for (const problem of this.#problems) console.log(problem);
    return this.#problems.length === 0;
  }
}
