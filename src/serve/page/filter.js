/* Which events are listed, and how they come from the store. */

import { $, ask, json, state } from './ask.js';
import { showDay } from './day.js';
import { showEvents } from './events.js';
import { showHeatmap } from './heatmap.js';
import { loadLabels } from './labels.js';
import { make, plural } from './words.js';

const KEYS = ['stream', 'kind', 'severity', 'verdict', 'label', 'since', 'until'];
const field = (key) => $(`of-${key}`);
const stream = () => (field('stream').value === '*' ? state.chosen ?? '' : field('stream').value);
const utc = (local) => (local ? new Date(local).toISOString() : '');

/* What the store is asked for; `without` leaves keys out. */
export function query(without = []) {
  const asked = new URLSearchParams();
  const values = { stream: stream(), since: utc(field('since').value), until: utc(field('until').value) };
  for (const key of KEYS) {
    const value = values[key] ?? field(key).value;
    if (value && !without.includes(key)) asked.set(key, value);
  }
  return asked;
}

/* Whether an event that just came would have been found. */
export function matches(event) {
  const asked = query();
  const is = (key, found) => !asked.has(key) || asked.get(key) === found;
  return is('stream', event.stream) && is('kind', event.kind) && is('label', event.label ?? '') && is('verdict', event.verdict ?? 'none')
    && event.severity >= Number(asked.get('severity') ?? 0)
    && !(asked.has('since') && new Date(event.onset) < new Date(asked.get('since')))
    && !(asked.has('until') && new Date(event.onset) >= new Date(asked.get('until')));
}

let next = null;
let latest = 0;
export async function loadEvents() {
  latest += 1;
  const mine = latest;
  const [page] = await Promise.all([json(`api/v1/events?${query()}`), count()]);
  if (mine !== latest) return;
  state.list = page.events;
  next = page.next;
  showList();
}

/* How many there are, whatever the time that is chosen. */
async function count() {
  const [sum] = await Promise.all([json(`api/v1/events/summary?${query(['since', 'until'])}`), loadLabels()]);
  choices('kind', Object.keys(sum.kinds), (kind) => kind.replaceAll('_', ' '));
  choices('label', sum.labels, String);
  showDay().catch(() => {});
  $('events-count').textContent = `${plural(sum.events, 'event')}, ${sum.unjudged} not judged`;
  showHeatmap(sum);
}

let soon = null;
/* Counts once what comes within two seconds is known. */
export function countSoon() {
  soon ??= setTimeout(() => { soon = null; count().catch(() => {}); }, 2000);
}

export function showList() {
  showEvents();
  $('more').hidden = !next;
  $('no-events').hidden = state.list.length > 0;
  $('no-events').textContent = query().size ? 'No event is like that.'
    : 'None yet. Normal is learnt first; what does not fit it will be listed here.';
}

/* A choice that is in force stays, also where nothing is like it. */
function choices(key, values, name) {
  const choice = field(key);
  const known = new Set([...choice.options].map((option) => option.value));
  for (const value of values) {
    if (!known.has(value)) choice.append(make('option', { value }, name(value)));
  }
}

export function showStreamChoices() {
  choices('stream', state.streams.keys(), String);
}

export function span(since, until) {
  const local = (date) => new Date(date - date.getTimezoneOffset() * 60000).toISOString().slice(0, 16);
  field('since').value = local(since);
  field('until').value = local(until);
  loadEvents().catch(() => {});
}

$('filters').addEventListener('submit', (event) => event.preventDefault());
$('filters').addEventListener('change', () => loadEvents().catch(() => {}));
$('filters').addEventListener('reset', () => setTimeout(() => loadEvents().catch(() => {})));
$('more').addEventListener('click', async () => {
  const asked = query();
  asked.set('before', next);
  const page = await json(`api/v1/events?${asked}`);
  state.list = state.list.concat(page.events);
  next = page.next;
  showList();
});

for (const form of ['csv', 'json']) {
  $(form).setAttribute('title', `Save the events that the filters find as ${form.toUpperCase()}`);
  $(form).addEventListener('click', async () => {
    const asked = query();
    asked.set('format', form);
    const url = URL.createObjectURL(await (await ask(`api/v1/events/export?${asked}`)).blob());
    make('a', { href: url, download: `events.${form}` }).click();
    setTimeout(() => URL.revokeObjectURL(url), 10000);
  });
}
