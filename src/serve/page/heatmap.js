/* How many events began in which hour of which day, in the local time of the browser. */

import { $ } from './ask.js';
import { span } from './filter.js';
import { day, plural, shape } from './words.js';

const DAYS = 14;
const [LEFT, CELL, HIGH] = [64, 22, 13];
const state = { sum: null, back: 0 };

export function showHeatmap(sum) {
  state.sum = sum ?? state.sum;
  if (!state.sum) return;
  const first = new Date();
  first.setHours(0, 0, 0, 0);
  first.setDate(first.getDate() - DAYS + 1 - state.back);
  const days = Array.from({ length: DAYS }, (_, n) => new Date(first.getFullYear(), first.getMonth(), first.getDate() + n));
  const cells = new Map();
  let shown = 0;
  for (const half of state.sum.half_hours) {
    const began = new Date(half.start * 1000);
    const row = days.findIndex((date) => date.toDateString() === began.toDateString());
    if (row < 0) continue;
    const at = row * 24 + began.getHours();
    const cell = cells.get(at) ?? { events: 0, severity: 0 };
    cells.set(at, { events: cell.events + half.events, severity: Math.max(cell.severity, half.severity) });
    shown += half.events;
  }
  const most = Math.max(1, ...[...cells.values()].map((cell) => cell.events));
  const heat = $('heat');
  heat.setAttribute('viewBox', `0 0 ${LEFT + 24 * CELL} ${HIGH * (DAYS + 1)}`);
  heat.replaceChildren();
  for (let hour = 0; hour < 24; hour += 3) heat.append(shape('text', { x: LEFT + hour * CELL, y: HIGH - 3 }, `${String(hour).padStart(2, '0')}:00`));
  days.forEach((date, row) => {
    const y = HIGH * (row + 1);
    heat.append(shape('text', { x: 0, y: y + HIGH - 3 }, date.toLocaleDateString([], { weekday: 'short', day: 'numeric', month: 'short' })));
    for (let hour = 0; hour < 24; hour += 1) {
      const cell = cells.get(row * 24 + hour);
      const level = cell ? Math.ceil(4 * Math.sqrt(cell.events / most)) : 0;
      const box = shape('rect', { x: LEFT + hour * CELL, y, width: CELL - 2, height: HIGH - 2, rx: 2, class: `heat-${level}` });
      if (cell) {
        box.append(shape('title', {}, `${day(date)}, ${hour}:00: ${plural(cell.events, 'event')}, highest severity ${cell.severity}`));
        const at = new Date(date.getFullYear(), date.getMonth(), date.getDate(), hour);
        box.addEventListener('click', () => span(at, new Date(at.getTime() + 3600000)));
      }
      heat.append(box);
    }
  });
  $('heat-text').textContent = `${plural(shown, 'event')} from ${day(days[0])} to ${day(days.at(-1))}`;
  $('later').disabled = state.back === 0;
}

$('earlier').addEventListener('click', () => { state.back += DAYS; showHeatmap(); });
$('later').addEventListener('click', () => { state.back = Math.max(0, state.back - DAYS); showHeatmap(); });
