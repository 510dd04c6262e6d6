// Lays panels out and draws them; runs in the page, with uPlot.
const CELL_HEIGHT = 30;
const GAP = 8;
const COLUMNS = 24;
const PALETTE = ['#56a64b', '#f2cc0c', '#3274d9', '#ff780a', '#e02f44', '#8f3bb8', '#1f9bbd', '#a352cc', '#7c9e3f', '#c4162a',
  '#19730e', '#b877d9', '#fa6400', '#1f60c4'];
const NAMED = { green: '#299c46', orange: '#ed8128', yellow: '#ecbb13', red: '#e02f44', blue: '#3274d9', text: '#24292e' };

/** A few digits, as few as tell it. */
function digits(value) {
  if (value === 0) return '0';
  const size = Math.abs(value);
  return String(Number(value.toFixed(size >= 100 ? 0 : size >= 10 ? 1 : size >= 1 ? 2 : 3)));
}

/** A value in the words of its unit, as Grafana has them. */
function inUnit(value, unit) {
  if (unit === 's') {
    const scaled = [[1, 's'], [1e-3, 'ms'], [1e-6, 'µs']].find(([size]) => Math.abs(value) >= size) ?? [1, 's'];
    return `${digits(value / scaled[0])} ${scaled[1]}`;
  }
  const suffixes = { cps: ' c/s', reqps: ' req/s', ops: ' ops/s', none: '', short: '' };
  if (unit === 'percentunit') return `${digits(value * 100)}%`;
  if (!(unit in suffixes)) throw new Error(`no words for the unit ${unit}`);
  return `${digits(value)}${suffixes[unit]}`;
}

function element(parent, name, className, text) {
  const made = parent.appendChild(document.createElement(name));
  if (className) made.className = className;
  if (text !== undefined) made.textContent = text;
  return made;
}

const last = ({ points }) => points.at(-1)[1];

function thresholdColour(steps, value) {
  return NAMED[steps.findLast((step) => step.value === null || value >= step.value).color];
}

function drawNumber(box, { series, fieldConfig: { defaults } }) {
  const value = last(series[0]);
  const number = element(box, 'div', 'number', inUnit(value, defaults.unit));
  number.style.color = thresholdColour(defaults.thresholds.steps, value);
}

/** Every moment of any series, and each series' values there; a series that is not there is a hole. */
function aligned(series) {
  const moments = [...new Set(series.flatMap(({ points }) => points.map(([time]) => time)))].sort((a, b) => a - b);
  return [moments, ...series.map(({ points }) => {
    const known = new Map(points);
    return moments.map((time) => known.get(time) ?? null);
  })];
}

function stacked(data) {
  const sums = data[0].map(() => 0);
  return [data[0], ...data.slice(1).map((values) => values.map((value, at) => (sums[at] += value ?? 0)))];
}

function drawLines(box, panel, from, to) {
  const { series, fieldConfig: { defaults }, options } = panel;
  const isStacked = defaults.custom.stacking?.mode === 'normal';
  const colour = (index) => PALETTE[index % PALETTE.length];
  const body = element(box, 'div', options.legend.placement === 'right' ? 'body beside' : 'body');
  const chart = element(body, 'div', 'chart');
  const legend = element(element(body, 'div', 'legend'), 'table');
  const head = element(legend, 'tr');
  for (const text of ['', ...options.legend.calcs.map((calc) => ({ lastNotNull: 'Last', max: 'Max' })[calc])]) {
    element(head, 'th', '', text);
  }
  const most = ({ points }) => Math.max(...points.map(([, value]) => value));
  const sorted = options.legend.sortBy === 'Max' ? series.toSorted((a, b) => most(b) - most(a)) : series;
  for (const one of sorted) {
    const index = series.indexOf(one);
    const line = element(legend, 'tr');
    const name = element(line, 'td');
    element(name, 'i').style.background = colour(index);
    name.append(one.name);
    const calcs = { lastNotNull: last(one), max: most(one) };
    for (const calc of options.legend.calcs) element(line, 'td', '', inUnit(calcs[calc], defaults.unit));
  }
  const plain = aligned(series);
  const data = isStacked ? stacked(plain) : plain;
  const alpha = Math.round((defaults.custom.fillOpacity / 100) * 255).toString(16).padStart(2, '0');
  const limit = defaults.custom.thresholdsStyle?.mode === 'dashed' ? defaults.thresholds.steps.filter((step) => step.value !== null) : [];
  const dashes = (plot) => {
    for (const step of limit) {
      const y = plot.valToPos(step.value, 'y', true);
      if (y < plot.bbox.top) continue;
      plot.ctx.save();
      plot.ctx.strokeStyle = NAMED[step.color];
      plot.ctx.setLineDash([6, 4]);
      plot.ctx.beginPath();
      plot.ctx.moveTo(plot.bbox.left, y);
      plot.ctx.lineTo(plot.bbox.left + plot.bbox.width, y);
      plot.ctx.stroke();
      plot.ctx.restore();
    }
  };
  const axis = { font: '11px Liberation Sans', stroke: '#6b7280', grid: { stroke: '#eceef0', width: 1 }, ticks: { show: false } };
  new globalThis.uPlot(
    {
      width: chart.clientWidth,
      height: chart.clientHeight,
      legend: { show: false },
      cursor: { show: false },
      scales: {
        x: { min: from, max: to },
        y: { range: (_, __, most) => [defaults.min ?? 0, defaults.max ?? (most > 0 ? most * 1.1 : 1)] },
      },
      axes: [axis, { ...axis, size: 62, values: (_, ticks) => ticks.map((tick) => inUnit(tick, defaults.unit)) }],
      series: [{}, ...series.map((one, index) => ({
        label: one.name,
        stroke: colour(index),
        width: defaults.custom.lineWidth,
        fill: `${colour(index)}${alpha}`,
        points: { show: false },
        spanGaps: defaults.custom.spanNulls,
      }))],
      bands: isStacked ? series.slice(1).map((_, index) => ({ series: [index + 2, index + 1] })) : [],
      hooks: { draw: [dashes] },
    },
    data,
    chart,
  );
}

globalThis.draw = ({ dashboard, from, to }) => {
  const header = element(document.body, 'header', '', dashboard.title);
  element(header, 'small', '', dashboard.description);
  const main = element(document.body, 'main');
  const width = main.clientWidth / COLUMNS;
  const bottom = Math.max(...dashboard.panels.map(({ gridPos }) => gridPos.y + gridPos.h));
  main.style.height = `${bottom * (CELL_HEIGHT + GAP)}px`;
  for (const panel of dashboard.panels) {
    const { x, y, w, h } = panel.gridPos;
    const box = element(main, 'section', panel.type === 'row' ? 'row' : 'panel', panel.type === 'row' ? panel.title : undefined);
    Object.assign(box.style, {
      left: `${x * width}px`, top: `${y * (CELL_HEIGHT + GAP)}px`,
      width: `${w * width - GAP}px`, height: `${h * (CELL_HEIGHT + GAP) - GAP}px`,
    });
    if (panel.type === 'row') continue;
    element(box, 'h2', '', panel.title);
    if (panel.series.length === 0) element(box, 'div', 'nothing', 'No data');
    else if (panel.type === 'stat') drawNumber(box, panel);
    else drawLines(box, panel, from, to);
  }
};
