/* The list of streams, and which one is looked at. */

import { $, json, state } from './ask.js';
import { draw } from './draw.js';
import { loadEvents } from './filter.js';
import { connect } from './live.js';
import { setBudget, showCalibration } from './normal.js';
import { clock, fixed, make, minute, shape } from './words.js';

export const threshold = (id) => state.overview?.health.streams[id]?.threshold ?? null;

export const isOffline = (view) => view.availability?.state === 'offline';
export function offlineSince(view) {
  const last = view.latest && Math.min(Date.parse(view.latest.time), Date.now() + state.ahead_ms);
  return last ? `Offline since ${minute(last)}` : 'Offline since the daemon started';
}

/* Whether an event of this run goes on there. */
const isOngoing = (view) => state.events.some((event) => event.stream === view.id && event.phase !== 'end'
  && event.boot === state.overview?.health.boot);

function stateOf(view) {
  if (isOffline(view)) return ['offline', 'bad'];
  const doing = view.latest?.state;
  if (!doing) return ['waiting', ''];
  const health = state.overview.health.streams[view.id];
  const input = health?.input.state;
  if (input && input !== 'good') return [`input ${input}`, 'bad'];
  if (health?.lost_percent >= 1) return [`loses ${Math.round(health.lost_percent)} %`, 'bad'];
  const learning = view.latest.learning;
  if (learning) return [`learning ${Math.floor(100 * learning.fraction)} %`, ''];
  return doing === 'watching' ? ['watching', 'good'] : [doing, ''];
}

/* Where an event goes on comes first, then what is offline or faulty, then the others; each as configured. */
function byUrgency() {
  const rank = (view) => (isOngoing(view) ? 0 : stateOf(view)[1] === 'bad' ? 1 : 2);
  return [...state.streams.values()].map((view) => [rank(view), view]).sort(([a], [b]) => a - b).map(([, view]) => view);
}

const rows = new Map();
export function showStreams() {
  const list = $('streams');
  const find = $('find').value.trim().toLowerCase();
  const views = byUrgency();
  views.forEach((view, at) => {
    let row = rows.get(view.id);
    if (!row) {
      row = { pill: make('span', { class: 'pill' }), more: make('span', { class: 'more' }), bar: shape('rect', { height: 3, x: 0, y: 0 }) };
      const drawing = shape('svg', { viewBox: '0 0 100 3', preserveAspectRatio: 'none', 'aria-hidden': 'true' });
      drawing.append(row.bar);
      row.box = make('span', { class: 'bar' }, drawing);
      row.element = make('div', { class: 'stream', role: 'option', id: `stream-${view.id}` },
        make('span', { class: 'name' }, view.id), row.pill, row.more, row.box);
      row.element.onclick = () => choose(view.id);
      rows.set(view.id, row);
    }
    if (list.children[at] !== row.element) list.insertBefore(row.element, list.children[at] ?? null);
    const [word, kind] = isOngoing(view) ? ['event goes on', 'bad'] : stateOf(view);
    const score = view.latest?.score ?? null;
    const limit = threshold(view.id);
    row.pill.textContent = word;
    row.pill.className = `pill ${kind}`;
    const reported = view.alarms + view.severe;
    const rests = state.overview?.health.streams[view.id]?.repeats ?? 0;
    const more = rests ? `, ${rests} repeat${rests === 1 ? '' : 's'} not reported` : '';
    const until = view.latest?.learning?.until;
    // of a cluster: how far its worker is behind the microphone
    const lag = state.overview?.health.cluster?.streams[view.id]?.lag_s ?? null;
    const behind = lag === null ? '' : ` · ${fixed(lag)} s behind`;
    row.more.textContent = isOffline(view) ? `${offlineSince(view)}: ${view.availability.reason || 'no sound'}`
      : until && view.latest.state === 'calibrating' ? `${fixed(view.latest.level_dbfs, 0)} dBFS · watching from ${clock(until)}${behind}`
      : until ? `score ${fixed(score)} of ${fixed(limit)} · watching with caution until ${clock(until)}${behind}`
      : `${fixed(view.latest?.level_dbfs ?? null, 0)} dBFS · score ${fixed(score)} of ${fixed(limit)} · ${reported} event${reported === 1 ? '' : 's'}${more}${behind}`;
    row.bar.setAttribute('width', score === null || !limit || isOffline(view) ? 0 : Math.min(100, (100 * score) / limit));
    row.box.classList.toggle('over', !isOffline(view) && score !== null && limit !== null && score >= limit);
    row.element.setAttribute('aria-selected', String(view.id === state.chosen));
    row.element.hidden = !view.id.toLowerCase().includes(find);
  });
  if (state.chosen) list.setAttribute('aria-activedescendant', `stream-${state.chosen}`);
  // many in little room: what they say more stands in the line of the chosen one alone
  list.classList.toggle('many', views.length > 12);
  const on = views.filter((view) => stateOf(view)[1] === 'good').length;
  $('count').textContent = `${on} of ${views.length} watching`;
  $('find-label').hidden = views.length < 9;
}

$('find').addEventListener('input', showStreams);
$('streams').addEventListener('keydown', (event) => {
  const shown = byUrgency().map((view) => view.id).filter((id) => !rows.get(id)?.element.hidden);
  const at = shown.indexOf(state.chosen);
  const to = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: shown.length - 1 }[event.key];
  if (to === undefined || !shown[to]) return;
  event.preventDefault();
  choose(shown[to]);
  rows.get(shown[to]).element.scrollIntoView({ block: 'nearest' });
});

export async function choose(id) {
  if (state.chosen === id) return;
  state.chosen = id;
  state.columns = [];
  state.history = null;
  state.calibration = null;
  $('chosen').textContent = id;
  $('cal-of').textContent = id;
  showStreams();
  if ($('of-stream').value === '*') loadEvents().catch(() => {});
  connect();
  await learn(id);
}

export async function learn(id) {
  const of = encodeURIComponent(id);
  const [past, normal] = await Promise.all([json(`api/v1/history?stream=${of}`), json(`api/v1/calibration?stream=${of}`)]);
  if (state.chosen !== id) return;
  state.history = past;
  state.calibration = normal.calibration;
  setBudget();
  showCalibration();
  draw();
}
