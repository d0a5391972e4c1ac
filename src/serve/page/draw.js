/* Spectrum and scores. */

import { $, state } from './ask.js';
import { kindOf } from './events.js';
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

/* viridis: equal differences look equal, also without seeing colours */
const VIRIDIS = ['440154', '482576', '414487', '35608d', '2a788e', '21908c', '22a884', '43bf71', '7ad151', 'bbdf27', 'fde725']
  .map((hex) => [0, 2, 4].map((at) => parseInt(hex.slice(at, at + 2), 16)));
const PALETTE = Array.from({ length: 256 }, (_, level) => {
  const place = (level / 255) * 10;
  const below = Math.min(9, Math.floor(place));
  return VIRIDIS[below].map((x, i) => Math.round(x + (place - below) * (VIRIDIS[below + 1][i] - x)));
});

/* Sound that is late by less is that of now, s. */
const LATE = 3;

/* Now, in seconds of the chosen stream, of which `last` was heard last. */
function present(last) {
  const latest = state.streams.get(state.chosen)?.latest;
  if (!latest) return last;
  const late = (Date.now() + state.ahead_ms - Date.parse(latest.time)) / 1000;
  return late > LATE ? Math.max(last, latest.t_s + late) : last;
}

function drawSpectrum() {
  const element = $('spectrum');
  const pen = element.getContext('2d');
  const across = 600;
  element.width = across;
  element.height = 64;
  if (!state.columns.length) return;
  const bands = state.columns.map((column) => column.bands.match(/../g).map((hex) => parseInt(hex, 16)));
  const all = bands.flat().sort((a, b) => a - b);
  const low = all[Math.floor(all.length / 20)];
  const span = Math.max(40, all[all.length - 1] - low);
  const image = pen.createImageData(bands.length, 64);
  bands.forEach((column, x) => column.forEach((level, band) => {
    const [r, g, b] = PALETTE[Math.max(0, Math.min(255, Math.round((255 * (level - low)) / span)))];
    image.data.set([r, g, b, 255], 4 * ((63 - band) * bands.length + x));
  }));
  // 20 columns a second
  const last = state.columns.at(-1).t_s;
  pen.putImageData(image, across - bands.length - Math.round(20 * (present(last) - last)), 0);
}

function series() {
  const span = Number($('span').value);
  if (span === 30) {
    // what was before the page looked closely is known by the second
    const from = state.columns[0]?.t_s ?? Infinity;
    const older = (state.history?.t_s ?? []).slice(-60).filter((t) => t < from).length;
    const start = Math.max(0, (state.history?.t_s.length ?? 0) - 60);
    const of = (key) => (state.history?.[key] ?? []).slice(start, start + older).concat(state.columns.map((column) => column[key]));
    return { span, t_s: of('t_s'), score: of('score'), surprise: of('surprise'), novelty: of('novelty') };
  }
  const from = Math.max(0, (state.history?.t_s.length ?? 0) - span);
  const of = (key) => (state.history?.[key] ?? []).slice(from);
  return { span, t_s: of('t_s'), score: of('score'), surprise: of('surprise'), novelty: of('novelty') };
}

export function drawScores() {
  const [pen, width, height] = canvas($('scores'));
  const past = series();
  const limit = threshold(state.chosen);
  const [left, right, top, bottom] = [30, width - 6, 8, height - 20];
  const end = present(past.t_s.at(-1) ?? 0);
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
  const near = $('span').value === '30';
  $('strip').hidden = !near;
  if (near) drawSpectrum();
  drawScores();
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
