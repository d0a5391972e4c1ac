/* The spectrogram of the last minute of a stream. */

import { $, json, state } from './ask.js';
import { bandAt, clockOf, frequencyAxis } from './axes.js';
import { canvas, draw } from './draw.js';
import { probe } from './readout.js';
import { colour, fixed, hertz } from './words.js';

/* viridis: equal differences look equal, also without seeing colours */
const VIRIDIS = ['440154', '482576', '414487', '35608d', '2a788e', '21908c', '22a884', '43bf71', '7ad151', 'bbdf27', 'fde725']
  .map((hex) => [0, 2, 4].map((at) => parseInt(hex.slice(at, at + 2), 16)));
const PALETTE = Array.from({ length: 256 }, (_, level) => {
  const place = (level / 255) * 10;
  const below = Math.min(9, Math.floor(place));
  return VIRIDIS[below].map((x, i) => Math.round(x + (place - below) * (VIRIDIS[below + 1][i] - x)));
});
/* Left edge of what is drawn over time, so that charts stand below each other. */
export const LEFT = 36;
/* Fewest steps between the darkest and the brightest colour. */
const LEAST = 40;

const axes = () => state.overview?.spectrogram;
const columns = () => Math.round(axes().seconds / axes().column_s);
const decoded = (column) => ({ ...column, bands: Uint8Array.from(column.bands.match(/../g), (hex) => parseInt(hex, 16)) });

export function takeColumn(column) {
  if (!axes()) return;
  state.columns.push(decoded(column));
  if (state.columns.length > columns()) state.columns.shift();
}

/* What came before the page looked; what came since stays. */
export async function recallColumns(id) {
  const past = await json(`api/v1/spectrogram?stream=${encodeURIComponent(id)}`);
  if (state.chosen !== id) return;
  const { t_s: times, ...rest } = past;
  const kept = times.map((t, i) => decoded({ t_s: t, ...Object.fromEntries(Object.entries(rest).map(([key, values]) => [key, values[i]])) }));
  const last = times.at(-1) ?? -Infinity;
  state.columns = kept.concat(state.columns.filter((column) => column.t_s > last));
  state.columns.splice(0, state.columns.length - columns());
  draw();
}

/* Sound that is late by less is that of now, s. */
const LATE = 3;

/* Now, in seconds of the chosen stream, of which `last` was received last. */
export function present(last) {
  const latest = state.streams.get(state.chosen)?.latest;
  if (!latest) return last;
  const late = (Date.now() + state.ahead_ms - Date.parse(latest.time)) / 1000;
  return late > LATE ? Math.max(last, latest.t_s + late) : last;
}

/* Where the spectrogram was drawn last, and the moment at its right edge. */
let shown = null;
const picture = document.createElement('canvas');

export function drawSpectrum() {
  const [pen, width, height] = canvas($('spectrum'));
  shown = null;
  if (!state.columns.length || !axes()) return;
  const count = columns();
  const counts = new Uint32Array(256);
  for (const { bands } of state.columns) for (const level of bands) counts[level] += 1;
  const high = counts.findLastIndex((n) => n > 0);
  let rest = (state.columns.length * axes().band_hz.length) / 20;
  const low = counts.findIndex((n) => { rest -= n; return rest < 0; });
  const span = Math.max(LEAST, high - low);
  const bandCount = axes().band_hz.length;
  [picture.width, picture.height] = [count, bandCount];
  const brush = picture.getContext('2d');
  const image = brush.createImageData(count, bandCount);
  const pixels = new DataView(image.data.buffer);
  const colours = Uint32Array.from({ length: 256 }, (_, level) => {
    const [r, g, b] = PALETTE[Math.max(0, Math.min(255, Math.round((255 * (level - low)) / span)))];
    return ((r << 24) | (g << 16) | (b << 8) | 255) >>> 0;
  });
  const end = present(state.columns.at(-1).t_s);
  for (const { t_s: t, bands } of state.columns) {
    const x = count - 1 - Math.round((end - t) / axes().column_s);
    if (x < 0) continue;
    for (let band = 0; band < bandCount; band += 1) pixels.setUint32(4 * ((bandCount - 1 - band) * count + x), colours[bands[band]]);
  }
  brush.putImageData(image, 0, 0);
  const area = { left: LEFT, right: width - 6, top: 2, bottom: height - 2 };
  // where there is no sound yet, or was none
  pen.fillStyle = colour('line');
  pen.fillRect(area.left, area.top, area.right - area.left, area.bottom - area.top);
  pen.imageSmoothingEnabled = false;
  pen.drawImage(picture, area.left, area.top, area.right - area.left, area.bottom - area.top);
  frequencyAxis(pen, area, axes().band_hz, colour('dim'));
  shown = { ...area, end };
}

/* When a moment of the chosen stream was, and how long ago. */
export function when(t, end) {
  const { latest } = state.streams.get(state.chosen) ?? {};
  const ago = `${fixed(end - t)} s ago`;
  return latest ? `${clockOf(Date.parse(latest.time) + 1000 * (t - latest.t_s))}, ${ago}` : ago;
}

probe($('spectrum'), {
  label: 'Read out the spectrogram: left and right in time, up and down in frequency',
  range: () => [-(axes()?.seconds ?? 60), 0],
  area: () => shown,
  tall: true,
  step: () => 1 / columns(),
  say(x, y) {
    const { column_s: wide, seconds, band_hz: centres, level_0_db: zero, level_step_db: step } = axes();
    const t = shown.end - (1 - x) * seconds;
    const found = state.columns.findLast((column) => Math.abs(column.t_s - t) <= wide);
    const band = bandAt(y, centres);
    const level = found ? `${fixed(zero + step * found.bands[band], 0)} dB` : 'no sound';
    return { text: `${when(t, shown.end)} · ${hertz(centres[band])} · ${level}`, value: Math.round(10 * (t - shown.end)) / 10 };
  },
});
