/* What is normal: the calibration, and a try of other budgets. */

import { $, state } from './ask.js';
import { canvas } from './draw.js';
import { colour, fixed, lasting, make, rate } from './words.js';

export function showCalibration() {
  const known = state.calibration;
  $('cal').hidden = !known;
  if (!known) { $('cal-text').textContent = 'Normal is still being learnt here.'; preview(); return; }
  const choice = $('cal-score');
  const before = choice.value;
  choice.replaceChildren(...known.tails.map((tail) => make('option', { value: tail.score }, tail.score)));
  if (known.tails.some((tail) => tail.score === before)) choice.value = before;
  const tail = known.tails.find((t) => t.score === choice.value);
  const seconds = tail.counts.reduce((a, b) => a + b, 0);
  $('cal-text').textContent = `Learnt from ${lasting(known.seconds)} of sound at ${fixed(known.background_dbfs, 0)} dBFS (${known.id}). `
    + `${seconds} seconds of ${tail.score}, ${tail.discarded} put aside as events; beyond ${fixed(tail.threshold, 2)} a tail of shape ${fixed(tail.shape, 2)} was fitted.`;
  const [pen, width, height] = canvas($('histogram'));
  const [left, right, top, bottom] = [34, width - 6, 8, height - 18];
  const [low, wide] = tail.bins;
  const [start, end] = [low, tail.curve.at(-1)[0]];
  const x = (v) => left + ((v - start) / (end - start)) * (right - left);
  const most = Math.max(...tail.counts);
  pen.fillStyle = colour('novelty');
  tail.counts.forEach((count, i) => {
    const tall = (count / most) * (bottom - top);
    pen.fillRect(x(low + i * wide), bottom - tall, Math.max(1, x(low + wide) - x(low) - 0.5), tall);
  });
  const y = (p) => top + (Math.min(9, -Math.log10(p)) / 9) * (bottom - top);
  pen.fillStyle = colour('dim');
  pen.textAlign = 'right';
  for (const n of [0, 3, 6, 9]) pen.fillText(n ? `1e-${n}` : '1', left - 4, y(10 ** -n) + 4);
  pen.textAlign = 'left';
  pen.fillText(fixed(start), left, height - 4);
  pen.textAlign = 'right';
  pen.fillText(fixed(end), right, height - 4);
  pen.strokeStyle = colour('score');
  pen.lineWidth = 2;
  pen.beginPath();
  tail.curve.forEach(([v, p], i) => (i ? pen.lineTo(x(v), y(p)) : pen.moveTo(x(v), y(p))));
  pen.stroke();
  pen.strokeStyle = colour('limit');
  pen.setLineDash([6, 4]);
  pen.beginPath();
  pen.moveTo(x(tail.threshold), top);
  pen.lineTo(x(tail.threshold), bottom);
  pen.stroke();
  pen.setLineDash([]);
  preview();
}
$('cal-score').addEventListener('change', showCalibration);

const inForce = () => state.overview?.health.streams[state.chosen]?.budget_per_hour ?? null;

/* The slider follows the budget of the chosen stream, whoever changes it; what is tried in between stays. */
export function setBudget() {
  const now = inForce();
  const seen = `${state.chosen} ${now}`;
  if (now === null || setBudget.seen === seen) return;
  setBudget.seen = seen;
  $('budget').value = Math.log10(now);
  preview();
}

/* Seconds at or above the score that the budget allows by the tail alone; neighbours within 2 s are one alarm. */
export function preview() {
  const budget = 10 ** Number($('budget').value);
  const limit = -Math.log10(budget / 3600);
  $('budget-is').textContent = rate(budget);
  $('budget').setAttribute('aria-valuetext', rate(budget));
  const now = inForce();
  $('budget-now').textContent = now === null ? '' : `In force for ${state.chosen}: ${rate(now)}.`;
  const past = state.history;
  const scored = past?.score.filter((v) => v !== null && !Number.isNaN(v)).length ?? 0;
  if (!scored) { $('budget-text').textContent = 'There are no scores yet to try it on.'; return; }
  let [count, last] = [0, -10];
  past.score.forEach((v, i) => {
    if (v === null || v < limit) return;
    if (past.t_s[i] - last > 2) count += 1;
    last = past.t_s[i];
  });
  $('budget-text').textContent = `Of the last ${lasting(scored)} of ${state.chosen}, ${count} alarm${count === 1 ? '' : 's'} would have been reported `
    + `(score ${fixed(limit)} or more by the tail alone; later adaptations of the threshold are not included).`;
}
$('budget').addEventListener('input', preview);
