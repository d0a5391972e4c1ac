/* What was heard on one day, in the local time of the browser. */

import { $, json } from './ask.js';
import { span } from './filter.js';
import { clock, day, make, plural } from './words.js';

const HOUR = 3600000;
/* Of `2026-01-31`; without a date, today. */
function start(text) {
  const [year, month, date] = (text || '').split('-').map(Number);
  const now = new Date();
  return year ? new Date(year, month - 1, date) : new Date(now.getFullYear(), now.getMonth(), now.getDate());
}
const after = (date, days) => new Date(date.getFullYear(), date.getMonth(), date.getDate() + days);
const text = (date) => new Date(date - date.getTimezoneOffset() * 60000).toISOString().slice(0, 10);

/* `hall 12, yard 3`, the most frequent first. */
const counted = (counts) => Object.entries(counts).sort((a, b) => b[1] - a[1]).map(([name, n]) => `${name.replaceAll('_', ' ')} ${n}`).join(', ');

/* The hour with the most events, and how many hours had none. */
function hours(sum, from, to) {
  const events = new Map();
  for (const half of sum.half_hours) {
    const at = Math.floor((half.start * 1000 - from) / HOUR);
    events.set(at, (events.get(at) ?? 0) + half.events);
  }
  const [most] = [...events].sort((a, b) => b[1] - a[1]);
  const passed = Math.ceil((Math.min(to, Date.now()) - from) / HOUR);
  const hour = (at) => new Date(from.getTime() + at * HOUR).toLocaleTimeString([], { hour: '2-digit', minute: '2-digit', hour12: false });
  return `${hour(most[0])} to ${hour(most[0] + 1)} (${plural(most[1], 'event')}); ${plural(Math.max(0, passed - events.size), 'hour')} without any`;
}

let latest = 0;
export async function showDay() {
  latest += 1;
  const mine = latest;
  const from = start($('day').value);
  const to = after(from, 1);
  $('day').value = text(from);
  $('day-after').disabled = to > new Date();
  if (!$('day-fold').open) return;
  const asked = new URLSearchParams({ since: from.toISOString(), until: to.toISOString() });
  const sum = await json(`api/v1/events/summary?${asked}`);
  if (mine !== latest) return;
  const lines = [['events', `${sum.events}, ${sum.unjudged} not judged`]];
  if (sum.events) {
    lines.push(['kinds', counted(sum.kinds)], ['streams', counted(sum.streams)]);
    if (sum.labels.length) lines.push(['labels', counted(sum.label_counts)]);
    lines.push(['most from', hours(sum, from, to)]);
  }
  $('day-text').replaceChildren(...lines.flatMap(([name, value]) => [make('dt', {}, name), make('dd', {}, value)]));
  $('day-worst').replaceChildren(...sum.worst.map((event) => make('li', {},
    make('a', { href: `#event=${event.id}` }, `${clock(event.onset)} ${event.stream}, severity ${event.severity}`), ` ${event.label ? `${event.label}: ` : ''}${event.summary}`)));
  $('day-list').textContent = `List the events of ${day(from)}`;
  $('day-list').hidden = !sum.events;
}

const move = (days) => { $('day').value = text(after(start($('day').value), days)); showDay().catch(() => {}); };
$('day-before').addEventListener('click', () => move(-1));
$('day-after').addEventListener('click', () => move(1));
$('day').addEventListener('change', () => showDay().catch(() => {}));
$('day-fold').addEventListener('toggle', () => showDay().catch(() => {}));
$('day-list').addEventListener('click', () => { const from = start($('day').value); span(from, after(from, 1)); });
