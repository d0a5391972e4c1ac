/* The list of events, and what explains them. */

import { $, state } from './ask.js';
import { clipButton } from './clip.js';
import { showPicture } from './picture.js';
import { reviewBox } from './review.js';
import { similarButton } from './similar.js';
import { clock, day, fixed, hertz, lasting, make, rate, shape } from './words.js';

/* The figures behind the kind, each where it is known. */
const FIGURES = [
  ['due_s', 'was due at', (x) => `${fixed(x, 2)} s of the stream`],
  ['offset_ms', 'came', (x) => `${fixed(Math.abs(x), 0)} ms ${x < 0 ? 'early' : 'late'}`],
  ['ran_s', 'had run for', lasting],
  ['tempo_percent', 'tempo', (x) => `${fixed(Math.abs(x))} % ${x < 0 ? 'slower' : 'faster'}`],
  ['pitch_percent', 'pitch', (x) => `${fixed(Math.abs(x))} % ${x < 0 ? 'lower' : 'higher'}`],
];
/* From this severity on an event is red. */
const GRAVE = 50;
const TIERS = { alarm: 'alarm: rarer than the budget', severe: 'severe: a hundred times rarer than the budget' };
export const kindOf = (event) => event.kind.replaceAll('_', ' ');

function perHorizon(event) {
  const values = event.surprise_per_k;
  const highest = Math.max(1, ...values.map((v) => Math.abs(v ?? 0)));
  const text = values.map((v, i) => `${i + 1}: ${fixed(v, 2)}`).join(', ');
  const svg = shape('svg', { class: 'perk', viewBox: '0 0 260 70', role: 'img', 'aria-label': `Surprise in nats by frames ahead, ${text}` });
  svg.append(shape('line', { x1: 0, x2: 260, y1: 30, y2: 30 }));
  const wide = 260 / values.length;
  values.forEach((v, i) => {
    const tall = (Math.abs(v ?? 0) / highest) * 26;
    svg.append(shape('rect', { x: i * wide + 3, width: wide - 6, y: (v ?? 0) >= 0 ? 30 - tall : 30, height: tall, class: (v ?? 0) < 0 ? 'less' : '' }));
    svg.append(shape('text', { x: (i + 0.5) * wide, y: 67 }, String(i + 1)));
  });
  return svg;
}

/* An event that has a label because it sounds like others. */
const knownAs = (event) => `${event.label} (${fixed(event.similarity, 2)} of 1), heard ${event.heard === 1 ? 'once' : `${event.heard} times`}`;

const shownEvents = new Map();
/* The facts of an event, one below the other. */
function facts(event) {
  const former = (number) => {
    const same = (e) => e.stream === event.stream && e.boot === event.boot && e.number === number;
    const found = state.events.find(same);
    return `event ${number}${found ? ` of ${clock(found.onset)}` : ''}`;
  };
  const lines = make('dl', {});
  const line = (name, value) => lines.append(make('dt', {}, name), make('dd', {}, value));
  line('kind', kindOf(event));
  for (const [key, name, text] of FIGURES) {
    if (event.detail?.[key] !== undefined) line(name, text(event.detail[key]));
  }
  if (event.band_hz) line('most at', `${hertz(event.band_hz[0])} to ${hertz(event.band_hz[1])}`);
  line('severity', `${event.severity} of 100`);
  line('tier', TIERS[event.tier]);
  line('score at its highest', `${fixed(event.score)} (p ${event.p.toExponential(1)} a second)`);
  line('mean score', fixed(event.score_mean));
  line('surprise, novelty', `${fixed(event.surprise)}, ${fixed(event.novelty)}`);
  line('decided by', event.evidence);
  line('level, background', `${fixed(event.level_dbfs)}, ${fixed(event.background_dbfs)} dBFS`);
  line('lasted', event.offset_s === null ? goesOn(event, 'it goes on') : `${fixed(event.offset_s - event.onset_s, 2)} s`);
  // documents of before tell the time of their last report alone
  if (event.reported_s !== undefined) line('reported after', `${fixed(event.reported_s - event.onset_s, 2)} s of sound`);
  if (event.repeat_of !== undefined) line('repeats', `${former(event.repeat_of)}, ${event.repeats} time${event.repeats === 1 ? '' : 's'} before`);
  if (event.similarity !== undefined) line('sounds like', knownAs(event));
  if (event.nearest) line('most like', `${former(event.nearest.number)} (${fixed(event.nearest.cosine, 2)} of 1)`);
  line('budget', rate(event.budget_per_hour));
  line('onset', `${day(event.onset)}, ${clock(event.onset)}`);
  line('id', event.id);
  return lines;
}

function detail(event) {
  const lines = facts(event);
  const box = make('div', { class: 'detail' }, reviewBox(event), lines, make('p', { class: 'dim' }, 'Surprise at the peak, in nats, for 1 to '
    + `${event.surprise_per_k.length} frames of 10 ms ahead; up is more surprising:`), perHorizon(event));
  const [similar, list] = similarButton(event);
  lines.before(make('p', { class: 'review more' }, clipButton(event, box), similar), list);
  box.dataset.snapshot = event.snapshot ?? '';
  if (event.snapshot) showPicture(event, box).catch(() => {});
  return box;
}

/* Shows what is new of an event; what is being played or looked at goes on. */
function renew(fold, event) {
  const box = fold.querySelector('.detail');
  if (box && box.dataset.snapshot === (event.snapshot ?? '')) {
    box.querySelector('.review').replaceWith(reviewBox(event));
    box.querySelector('dl').replaceWith(facts(event));
    return;
  }
  box?.remove();
  fold.append(detail(event));
}

/* An event without an end belongs to this run of the daemon, or its end was never reported. */
const goesOn = (event, text) => (event.boot === state.overview?.health.boot ? text : 'cut off: the daemon ended');
export const itemOf = (id) => shownEvents.get(id);

export function showEvents() {
  const list = $('events');
  const events = state.list;
  const keep = new Set(events.map((event) => event.id));
  for (const [id, item] of shownEvents) {
    if (!keep.has(id)) { item.element.remove(); shownEvents.delete(id); }
  }
  events.forEach((event, at) => {
    let item = shownEvents.get(event.id);
    if (!item) {
      const summary = make('summary', {});
      const fold = make('details', {}, summary);
      item = { element: make('li', {}, fold), summary, fold, seen: '' };
      fold.addEventListener('toggle', () => {
        fold.querySelector('.detail')?.remove();
        if (!fold.open) return;
        fold.append(detail(item.event));
        state.open = item.event.id;
        history.replaceState(null, '', `#event=${item.event.id}`);
      });
      shownEvents.set(event.id, item);
    }
    const date = day(event.onset);
    const seen = [event.boot, event.seq, event.verdict, event.label, event.similarity].join(' ');
    if (item.seen !== seen) {
      item.event = event;
      item.seen = seen;
      item.summary.replaceChildren(...[
        make('span', { class: `pill ${event.severity >= GRAVE ? 'bad' : ''}`, title: TIERS[event.tier] }, `severity ${event.severity}`),
        make('span', { class: 'when' }, clock(event.onset)), make('strong', {}, event.stream),
        make('span', { class: 'kind' }, kindOf(event)),
        event.verdict ? make('span', { class: `pill ${event.verdict === 'normal' ? 'good' : 'bad'}` }, event.verdict) : null,
        event.label ? make('span', { class: 'kind', title: event.similarity === undefined ? 'label' : `sounds like ${knownAs(event)}` },
          event.similarity === undefined ? event.label : `${event.label}?`) : null,
        event.repeats ? make('span', { class: 'kind', title: `${event.repeats} times before` }, `×${event.repeats + 1}`) : null,
        make('span', { class: 'why', title: event.summary }, event.summary),
        make('span', { class: 'dim' }, event.offset_s === null ? goesOn(event, 'goes on') : `${fixed(event.offset_s - event.onset_s)} s`),
      ].filter((part) => part !== null));
      if (item.fold.open && !item.fold.contains(document.activeElement?.closest('input'))) {
        renew(item.fold, event);
      }
    }
    // the first of each day says which day it is
    if (at === 0 || date !== day(events[at - 1].onset)) item.element.dataset.day = date;
    else delete item.element.dataset.day;
    if (list.children[at] !== item.element) list.insertBefore(item.element, list.children[at] ?? null);
  });
}
