/* What people say of events: by buttons, by keys, and links to one event. */

import { $, ask, askToken, json, state } from './ask.js';
import { itemOf, showEvents } from './events.js';
import { countSoon } from './filter.js';
import { refresh } from './health.js';
import { loadLabels } from './labels.js';
import { make } from './words.js';

function say(text) { $('review-said').textContent = text; }

/* Whether an operator is here: asks for the token where it was not shown yet. */
export async function mayReview(refuse = say) {
  if (!state.overview?.review.operators) {
    refuse('Nobody may do that over HTTP here: set operator_token_file in [http].');
    return false;
  }
  while (!state.overview.review.allowed) {
    if (!await askToken(true)) return false;
    await refresh();
  }
  return true;
}

/* `said` holds a verdict, a label, or both; a verdict of null is taken back. */
export async function review(id, said) {
  if (!await mayReview()) return;
  try {
    const { event, detector_informed: informed } = await (await ask(`api/v1/events/${encodeURIComponent(id)}/review`, undefined, said)).json();
    for (const list of [state.list, state.events]) {
      const at = list.findIndex((known) => known.id === id);
      if (at >= 0) list[at] = event;
    }
    say(`Kept: ${event.verdict ?? 'not judged'}${event.label ? `, “${event.label}”` : ''}${informed ? '; the detector was informed' : ''}.`);
    showEvents();
    countSoon();
    if (said.label !== undefined) loadLabels().catch(() => {});
  } catch (error) {
    say(`It was not kept: ${error.message}`);
  }
}

/* The buttons and the label of an event. */
export function reviewBox(event) {
  const button = (verdict, text) => {
    const pressed = event.verdict === verdict;
    const made = make('button', { type: 'button', 'aria-pressed': String(pressed) }, text);
    made.addEventListener('click', () => review(event.id, { verdict: pressed ? null : verdict }));
    return made;
  };
  const guessed = event.similarity !== undefined;
  const label = make('input', { type: 'text', maxlength: '64', value: guessed ? '' : event.label ?? '', class: 'label', list: 'labels-known' });
  const right = guessed ? make('button', { type: 'button' }, `It is “${event.label}”`) : null;
  right?.addEventListener('click', () => review(event.id, { label: event.label }));
  label.addEventListener('change', () => review(event.id, { label: label.value }));
  return make('p', { class: 'review' }, button('normal', 'Normal'), button('anomaly', 'Anomaly'),
    make('label', {}, 'Label ', label), right, make('a', { href: `#event=${event.id}` }, 'Link to this event'));
}

const current = () => state.list.findIndex((event) => event.id === state.open);

function open(at) {
  const event = state.list[at];
  const item = event && itemOf(event.id);
  if (!item) return;
  if (state.open && state.open !== event.id) itemOf(state.open)?.fold.removeAttribute('open');
  const show = () => item.element.scrollIntoView({ block: 'nearest' });
  // it grows when it opens
  if (item.fold.open) show();
  else item.fold.addEventListener('toggle', show, { once: true });
  item.fold.open = true;
  item.summary.focus({ preventScroll: true });
}

/* Judges what is open and goes on to the next one. */
async function judge(verdict) {
  const at = current();
  if (at < 0) { open(0); return; }
  await review(state.list[at].id, { verdict });
  if (verdict) open(at + 1);
}

const KEYS = {
  j: () => open(current() + 1),
  k: () => open(Math.max(0, current() - 1)),
  n: () => judge('normal'),
  a: () => judge('anomaly'),
  u: () => judge(null),
  l: () => itemOf(state.open)?.element.querySelector('input.label')?.focus(),
};
document.addEventListener('keydown', (event) => {
  const typing = event.target.closest('input, select, textarea, dialog');
  if (event.key === 'Escape' && typing?.classList.contains('label')) typing.blur();
  if (typing || event.ctrlKey || event.altKey || event.metaKey || !KEYS[event.key]) return;
  event.preventDefault();
  KEYS[event.key]();
});

/* The event that the address names, whatever the filters say. */
export async function followLink() {
  const id = new URLSearchParams(location.hash.slice(1)).get('event');
  if (!id || id === state.open) return;
  try {
    if (!state.list.some((event) => event.id === id)) {
      state.list.push(await json(`api/v1/events/${encodeURIComponent(id)}`));
      state.list.sort((a, b) => (a.id < b.id ? 1 : -1));
      showEvents();
    }
    open(state.list.findIndex((event) => event.id === id));
  } catch (error) {
    say(`Event ${id}: ${error.message}`);
  }
}
addEventListener('hashchange', followLink);
