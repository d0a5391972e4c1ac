/* Scores, and what is drawn again as sound comes. */

import { $, state } from './ask.js';
import { kindOf } from './events.js';
import { probe, refreshProbes } from './readout.js';
import { LEFT, drawSpectrum, present, when } from './spectrum.js';
import { isOffline, offlineSince, threshold } from './streams.js';
import { colour, fixed, lasting } from './words.js';

export function canvas(element) {
  const ratio = Math.min(devicePixelRatio || 1, 2);
  const [width, height] = [element.clientWidth, element.clientHeight];
  if (element.width !== Math.round(width * ratio)) element.width = Math.round(width * ratio);
  if (element.height !== Math.round(height * ratio)) element.height = Math.round(height * ratio);
  const pen = element.getContext('2d');
  pen.setTransform(ratio, 0, 0, ratio, 0, 0);
  pen.clearRect(0, 0, width, height);
  pen.font = '11px system-ui, sans-serif';
  return [pen, width, height];
}

/* Seconds of the closest look, which has the spectrogram. */
const NEAR = 60;

function series() {
  const span = Number($('span').value);
  if (span === NEAR) {
    // what is not known closely is known by the second
    const from = state.columns[0]?.t_s ?? Infinity;
    const older = (state.history?.t_s ?? []).slice(-NEAR).filter((t) => t < from).length;
    const start = Math.max(0, (state.history?.t_s.length ?? 0) - NEAR);
    const of = (key) => (state.history?.[key] ?? []).slice(start, start + older).concat(state.columns.map((column) => column[key]));
    return { span, t_s: of('t_s'), score: of('score'), surprise: of('surprise'), novelty: of('novelty') };
  }
  const from = Math.max(0, (state.history?.t_s.length ?? 0) - span);
  const of = (key) => (state.history?.[key] ?? []).slice(from);
  return { span, t_s: of('t_s'), score: of('score'), surprise: of('surprise'), novelty: of('novelty') };
}

/* Where the scores were drawn last, and which. */
let shown = null;

export function drawScores() {
  const [pen, width, height] = canvas($('scores'));
  const past = series();
  const limit = threshold(state.chosen);
  const [left, right, top, bottom] = [LEFT, width - 6, 8, height - 20];
  const end = present(past.t_s.at(-1) ?? 0);
  shown = past.t_s.length ? { left, right, top, bottom, end, past } : null;
  const x = (t) => right - ((end - t) / past.span) * (right - left);
  const highest = Math.max(6, limit ?? 0, ...past.score.map((v) => v ?? 0)) * 1.08;
  const y = (v) => bottom - (Math.max(0, Math.min(v, highest)) / highest) * (bottom - top);
  for (const event of state.events.filter((e) => e.stream === state.chosen && e.boot === state.overview?.health.boot)) {
    const [from, to] = [Math.max(left, x(event.onset_s)), x(event.offset_s ?? end)];
    if (to < left || from > right) continue;
    pen.fillStyle = colour(event.tier === 'severe' ? 'severe' : 'event');
    pen.fillRect(from, top, Math.max(2, to - from), bottom - top);
    pen.fillStyle = colour('text');
    pen.textAlign = from > right - 60 ? 'right' : 'left';
    pen.fillText(kindOf(event), from > right - 60 ? right : from + 2, top + 10);
  }
  pen.strokeStyle = colour('line');
  pen.fillStyle = colour('dim');
  pen.lineWidth = 1;
  pen.textAlign = 'right';
  const step = highest > 8 ? 3 : 2;
  for (let v = 0; v <= highest; v += step) {
    pen.beginPath();
    pen.moveTo(left, y(v));
    pen.lineTo(right, y(v));
    pen.stroke();
    pen.fillText(String(v), left - 6, y(v) + 4);
  }
  pen.textAlign = 'center';
  for (let n = 0; n < 3; n += 1) {
    const ago = (past.span * (3 - n)) / 3.2;
    pen.fillText(`${lasting(ago)} ago`, x(end - ago), height - 5);
  }
  for (const key of ['novelty', 'surprise', 'score']) {
    pen.strokeStyle = colour(key);
    pen.lineWidth = key === 'score' ? 2 : 1.2;
    pen.beginPath();
    // no line leads over a time without scores
    let last = -Infinity;
    past.t_s.forEach((t, i) => {
      const v = past[key][i];
      if (v === null || v === undefined || x(t) < left) { last = -Infinity; return; }
      if (t - last < 2) pen.lineTo(x(t), y(v)); else pen.moveTo(x(t), y(v));
      last = t;
    });
    pen.stroke();
  }
  if (limit !== null) {
    pen.strokeStyle = colour('limit');
    pen.lineWidth = 1.5;
    pen.setLineDash([6, 4]);
    pen.beginPath();
    pen.moveTo(left, y(limit));
    pen.lineTo(right, y(limit));
    pen.stroke();
    pen.setLineDash([]);
  }
}

let spoken = 0;
export function draw() {
  const near = Number($('span').value) === NEAR;
  $('strip').hidden = !near;
  if (near) drawSpectrum();
  drawScores();
  refreshProbes();
  // screen readers announce a line now and then, not ten a second
  if (Date.now() - spoken < 1000) return;
  spoken = Date.now();
  const view = state.streams.get(state.chosen);
  const latest = view?.latest;
  if (view && isOffline(view)) {
    $('live-text').textContent = `${offlineSince(view)}: ${view.availability.reason || 'no sound'}. There is no current score.`;
    return;
  }
  if (!latest) { $('live-text').textContent = 'Waiting for sound.'; return; }
  $('live-text').textContent = latest.state === 'calibrating'
    ? `Learning what is normal; nothing is reported yet. Level ${fixed(latest.level_dbfs, 0)} dBFS.`
    : `${latest.state === 'provisional' ? 'Still learning what is normal; what is far from it is reported. ' : ''}Score ${fixed(latest.score)}, threshold ${fixed(threshold(state.chosen))}; surprise ${fixed(latest.surprise)}, novelty ${fixed(latest.novelty)}, level ${fixed(latest.level_dbfs, 0)} dBFS.`;
}

probe($('scores'), {
  label: 'Read out the scores: left and right in time',
  range: () => [-(shown?.past.span ?? NEAR), 0],
  area: () => shown,
  step: () => Math.max(0.1, (shown?.past.span ?? NEAR) / 600) / (shown?.past.span ?? NEAR),
  say(x) {
    const { end, past } = shown;
    const t = end - (1 - x) * past.span;
    const value = Math.round(10 * (t - end)) / 10;
    const at = nearest(past.t_s, t);
    const event = state.events.find((e) => e.stream === state.chosen && e.boot === state.overview?.health.boot && e.onset_s <= t && t <= (e.offset_s ?? end));
    const what = event ? ` · event: ${kindOf(event)}, severity ${event.severity}` : '';
    if (at < 0) return { text: `${when(t, end)} · no score${what}`, value };
    const figure = (key) => fixed(past[key][at] ?? null);
    return { text: `${when(past.t_s[at], end)} · score ${figure('score')} of ${fixed(threshold(state.chosen))} · surprise ${figure('surprise')} · novelty ${figure('novelty')}${what}`, value };
  },
});

/* The moment nearest to `t`, where one is near; -1 otherwise. */
function nearest(times, t) {
  let [low, high] = [0, times.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (times[middle] < t) low = middle + 1; else high = middle;
  }
  const at = low > 0 && (low === times.length || t - times[low - 1] < times[low] - t) ? low - 1 : low;
  return at < times.length && Math.abs(times[at] - t) < 2 ? at : -1;
}
