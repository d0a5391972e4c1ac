/* How many events began in which hour of which day, in the local time of the browser. */

import { $ } from './ask.js';
import { span } from './filter.js';
import { day, plural, shape } from './words.js';

const DAYS = 14;
const [LEFT, CELL, HIGH] = [64, 22, 13];
const state = { sum: null, back: 0, current: null };

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
  // a cell that has the focus keeps it
  const held = heat.contains(document.activeElement) ? document.activeElement.dataset.at : null;
  const choosable = [];
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
        const at = new Date(date.getFullYear(), date.getMonth(), date.getDate(), hour);
        choosable.push(makeChoosable(box, { at, row, hour }, `${day(date)}, ${hour}:00: ${plural(cell.events, 'event')}, highest severity ${cell.severity}`));
      }
      heat.append(box);
    }
  });
  // one stop of the Tab key: the cell that was chosen last, or the newest
  const current = choosable.find((box) => box.dataset.at === state.current) ?? choosable.at(-1);
  current?.setAttribute('tabindex', '0');
  if (held) choosable.find((box) => box.dataset.at === held)?.focus();
  $('heat-text').textContent = `${plural(shown, 'event')} from ${day(days[0])} to ${day(days.at(-1))}`;
  $('later').disabled = state.back === 0;
}

/* A cell that is chosen by a click, Enter or the space bar. */
function makeChoosable(box, { at, row, hour }, text) {
  box.append(shape('title', {}, text));
  for (const [name, value] of Object.entries({ role: 'button', tabindex: '-1', 'aria-label': text })) box.setAttribute(name, value);
  Object.assign(box.dataset, { at: String(at.getTime()), row, hour });
  const choose = () => {
    span(at, new Date(at.getTime() + 3600000));
    $('said').textContent = `The list shows ${text}`;
  };
  box.addEventListener('click', choose);
  box.addEventListener('focus', () => {
    $('heat').querySelector('[tabindex="0"]')?.setAttribute('tabindex', '-1');
    box.setAttribute('tabindex', '0');
    state.current = box.dataset.at;
  });
  box.addEventListener('keydown', (event) => {
    if (event.key === 'Enter' || event.key === ' ') { event.preventDefault(); choose(); }
  });
  return box;
}

/* Arrow keys go from a cell with events to the next one in time, or to the nearest of another day. */
$('heat').addEventListener('keydown', (event) => {
  const cells = [...$('heat').querySelectorAll('[role=button]')];
  const at = cells.indexOf(event.target);
  if (at < 0) return;
  const [row, hour] = [Number(event.target.dataset.row), Number(event.target.dataset.hour)];
  const far = (cell) => Math.abs(cell.dataset.hour - hour);
  const ofDay = (later) => {
    const others = cells.filter((cell) => (later ? cell.dataset.row > row : cell.dataset.row < row));
    const next = later ? others[0]?.dataset.row : others.at(-1)?.dataset.row;
    return others.filter((cell) => cell.dataset.row === next).sort((a, b) => far(a) - far(b))[0];
  };
  const to = { ArrowLeft: () => cells[at - 1], ArrowRight: () => cells[at + 1], ArrowUp: () => ofDay(false), ArrowDown: () => ofDay(true),
    Home: () => cells[0], End: () => cells.at(-1) }[event.key]?.();
  if (!to) return;
  event.preventDefault();
  to.focus();
});

$('earlier').addEventListener('click', () => { state.back += DAYS; showHeatmap(); });
$('later').addEventListener('click', () => { state.back = Math.max(0, state.back - DAYS); showHeatmap(); });
