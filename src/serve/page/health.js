/* Health, and the overview that it comes with. */

import { $, json, state } from './ask.js';
import { draw } from './draw.js';
import { loadEvents, showStreamChoices } from './filter.js';
import { preview, setBudget } from './normal.js';
import { learn, showStreams } from './streams.js';
import { bytes, clock, day, fixed, lasting, make, plural, whole } from './words.js';

/* The daemon's connection to its broker; the pill beside it is that of this page to the daemon. */
function showBroker() {
  const { health, broker } = state.overview;
  const pill = $('broker');
  const { connected, reason, since } = health.broker;
  pill.hidden = !broker;
  const word = connected ? 'broker connected' : `broker away, ${plural(health.events_pending, 'document')} waiting`;
  pill.title = connected ? '' : `${reason}, since ${day(since)}, ${clock(since)}`;
  // screen readers announce changes alone
  if (pill.textContent === word) return;
  pill.textContent = word;
  pill.className = `pill ${connected ? 'good' : 'bad'}`;
}

function showHealth() {
  const { health, broker, ready } = state.overview;
  const list = $('health');
  list.replaceChildren();
  const line = (name, value) => list.append(make('dt', {}, name), make('dd', {}, value));
  const waiting = health.samples_in - health.samples_scored - health.samples_shed;
  line('state', ready ? 'running' : 'starting or stopping');
  line('up', lasting(health.uptime_s));
  line('load', `${fixed(health.load_percent)} % of a core`);
  line('hop, median and p99', `${fixed(health.hop_p50_us / 1000, 2)}, ${fixed(health.hop_p99_us / 1000, 2)} ms`);
  const { heard } = health.delays;
  if (heard.p50_us) line('capture to score, the same', `${fixed(heard.p50_us / 1000, 1)}, ${fixed(heard.p99_us / 1000, 1)} ms`);
  line('memory', bytes(health.rss_bytes));
  line('samples in', whole(health.samples_in));
  line('scored, shed, waiting', `${whole(health.samples_scored)}, ${whole(health.samples_shed)}, ${whole(waiting)}`);
  const withheld = Object.values(health.streams).reduce((sum, s) => [sum[0] + s.capped, sum[1] + s.known, sum[2] + s.repeats], [0, 0, 0]);
  line('not reported: cap, normal, repeats', withheld.map(whole).join(', '));
  line('documents accepted', whole(health.events_accepted));
  line('acknowledged, pending, dropped', `${whole(health.events_acked)}, ${whole(health.events_pending)}, ${whole(health.events_dropped)}`);
  line('refused', whole(health.events_refused));
  if (broker) line('outbox', `${bytes(health.outbox.bytes)}${health.outbox.degraded ? ', disk refuses' : ''}`);
  const sums = Object.values(health.streams).reduce((sum, s) => [sum[0] + s.overruns, sum[1] + s.xruns, sum[2] + s.lost_samples], [0, 0, 0]);
  line('overruns, xruns, samples lost', sums.map(whole).join(', '));
  const odd = Object.values(health.streams).reduce((sum, s) => [sum[0] + s.not_finite, sum[1] + s.bytes_refused, sum[2] + s.model_resets], [0, 0, 0]);
  if (odd.some((count) => count > 0)) line('invalid samples, bytes refused, model resets', odd.map(whole).join(', '));
  line('model', state.overview.model);
  line('version', health.version);
  const text = state.overview.faults.join('\n');
  if (text === state.faults) return;
  state.faults = text;
  const shown = state.overview.faults.slice(0, 5);
  const more = state.overview.faults.length - shown.length;
  $('faults').hidden = !text;
  $('faults').replaceChildren(...shown.map((fault) => make('p', {}, fault)), ...(more > 0 ? [make('p', {}, `and ${more} more`)] : []));
}

export async function refresh() {
  const overview = await json('api/v1/overview');
  const again = state.overview && state.overview.health.boot !== overview.health.boot;
  state.overview = overview;
  state.ahead_ms = Date.parse(overview.health.time) - Date.now();
  $('node').textContent = overview.node;
  document.title = `${overview.node} · cpc-stream`;
  state.streams = new Map(overview.streams.map((view) => [view.id, view]));
  if (again) {
    state.events = (await json('api/v1/events?limit=200')).events;
    await loadEvents();
    state.columns = [];
    if (state.chosen) await learn(state.chosen);
  }
  showBroker();
  showHealth();
  setBudget();
  showStreams();
  showStreamChoices();
  preview();
  draw();
}
