/* Axes of spectrograms: frequencies on the mel scale of the bands, and moments. */

import { fixed } from './words.js';

const FREQUENCIES = [125, 250, 500, 1000, 2000, 4000, 8000];
const STEPS = [0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 30, 60];

/* Where a frequency lies, from 0 at the lower edge of the lowest band to 1 at the upper edge of the highest. */
function placeOf(hz, centres) {
  const above = centres.findIndex((centre) => centre >= hz);
  if (above === 0) return hz / centres[0] / 2 / centres.length;
  const last = centres.length - 1;
  // beyond the last centre the distance of the last two goes on
  const [low, high] = above < 0 ? [last - 1, last] : [above - 1, above];
  return (low + 0.5 + (hz - centres[low]) / (centres[high] - centres[low])) / centres.length;
}

/* The band at such a place. */
export const bandAt = (place, centres) => Math.max(0, Math.min(centres.length - 1, Math.floor(place * centres.length)));

/* Frequencies as lines and numbers at the left of a plot. */
export function frequencyAxis(pen, { left, top, bottom }, centres, colour) {
  pen.textAlign = 'right';
  pen.strokeStyle = pen.fillStyle = colour;
  pen.lineWidth = 1;
  let lowest = bottom + 12;
  for (const hz of FREQUENCIES) {
    const place = placeOf(hz, centres);
    const y = bottom - place * (bottom - top);
    if (place > 1 || lowest - y < 12) continue;
    lowest = y;
    pen.beginPath();
    pen.moveTo(left - 4, Math.round(y) + 0.5);
    pen.lineTo(left, Math.round(y) + 0.5);
    pen.stroke();
    pen.fillText(hz >= 1000 ? `${hz / 1000}k` : String(hz), left - 6, y + 4);
  }
}

/* Moments from `from` to `to` seconds, so many that there is room for each. */
export function moments(from, to, room) {
  const step = STEPS.find((s) => (to - from) / s <= room) ?? STEPS.at(-1);
  const first = Math.ceil(from / step - 1e-6);
  const count = Math.floor(to / step + 1e-6) - first + 1;
  return { step, at: Array.from({ length: Math.max(0, count) }, (_, n) => (first + n) * step) };
}

/* Seconds from an onset. */
export const since = (s, step) => (Math.abs(s) < step / 2 ? '0 s' : `${s > 0 ? '+' : '−'}${fixed(Math.abs(s), step < 0.1 ? 2 : step < 1 ? 1 : 0)} s`);

/* The time of day with tenths of a second, or more of them. */
export function clockOf(ms, digits = 1) {
  const ticks = 10 ** digits;
  const at = new Date(Math.round((ms * ticks) / 1000) * (1000 / ticks));
  const text = at.toLocaleTimeString([], { hour12: false });
  return digits ? `${text}.${String(Math.round((at % 1000) / (1000 / ticks))).padStart(digits, '0')}` : text;
}
