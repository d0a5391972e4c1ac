/* The list of streams, and which one is looked at. */

import { $, json, state } from './ask.js';
import { draw } from './draw.js';
import { loadEvents } from './filter.js';
import { connect } from './live.js';
import { setBudget, showCalibration } from './normal.js';
import { clock, fixed, make, shape } from './words.js';

export const threshold = (id) => state.overview?.health.streams[id]?.threshold ?? null;

function stateOf(view) {
  if (view.availability?.state === 'offline') return ['offline', 'bad'];
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

const rows = new Map();
export function showStreams() {
  const list = $('streams');
  const find = $('find').value.trim().toLowerCase();
  const views = [...state.streams.values()];
  for (const view of views) {
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
      list.append(row.element);
    }
    const [word, kind] = stateOf(view);
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
    row.more.textContent = view.availability?.state === 'offline' ? view.availability.reason || 'no sound'
      : until && view.latest.state === 'calibrating' ? `${fixed(view.latest.level_dbfs, 0)} dBFS · watching from ${clock(until)}${behind}`
      : until ? `${fixed(view.latest.level_dbfs, 0)} dBFS · watching with caution until ${clock(until)}${behind}`
      : `${fixed(view.latest?.level_dbfs ?? null, 0)} dBFS · score ${fixed(score)} of ${fixed(limit)} · ${reported} event${reported === 1 ? '' : 's'}${more}${behind}`;
    row.bar.setAttribute('width', score === null || !limit || word === 'offline' ? 0 : Math.min(100, (100 * score) / limit));
    row.box.classList.toggle('over', word !== 'offline' && score !== null && limit !== null && score >= limit);
    row.element.setAttribute('aria-selected', String(view.id === state.chosen));
    row.element.hidden = !view.id.toLowerCase().includes(find);
  }
  if (state.chosen) list.setAttribute('aria-activedescendant', `stream-${state.chosen}`);
  // many in little room: what they say more stands in the line of the chosen one alone
  list.classList.toggle('many', views.length > 12);
  const on = views.filter((view) => stateOf(view)[1] === 'good').length;
  $('count').textContent = `${on} of ${views.length} watching`;
  $('find-label').hidden = views.length < 9;
}

$('find').addEventListener('input', showStreams);
$('streams').addEventListener('keydown', (event) => {
  const shown = [...state.streams.keys()].filter((id) => !rows.get(id)?.element.hidden);
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
