/* Events that sound like one. */

import { json } from './ask.js';
import { clock, day, fixed, make, plural } from './words.js';

const COUNT = 10;

function item(event) {
  const label = event.label ? `“${event.label}”${event.label_source === 'similarity' ? '?' : ''}` : 'no label';
  return make('li', {}, make('a', { href: `#event=${event.id}` }, `${day(event.onset)}, ${clock(event.onset)}`), ' ', make('strong', {}, event.stream),
    ` similarity ${fixed(event.similarity, 2)} · ${event.verdict ?? 'not judged'} · ${label} · `, make('span', { class: 'dim' }, event.summary));
}

/* What the answer means, in a sentence. */
function sentence({ events, least, compared, complete, reason }) {
  if (reason) return `Nothing to compare: ${reason}.`;
  const others = `${plural(compared, 'other event')}${complete ? '' : ', the newest'}`;
  if (!events.length) return `None of ${others} sounds like it (${fixed(least, 2)} of 1 or more).`;
  return `${events.length === COUNT ? `The ${COUNT} most similar` : plural(events.length, 'event')} of ${others}, by sound (1 is the same, ${fixed(least, 2)} the least):`;
}

/* The button of an event, and where the list will be. */
export function similarButton(event) {
  const said = make('p', { role: 'status' });
  const found = make('ol', {});
  const list = make('div', { class: 'similar' }, said, found);
  const button = make('button', { type: 'button', 'aria-expanded': 'false' }, 'Similar events');
  button.addEventListener('click', async () => {
    found.replaceChildren();
    if (button.getAttribute('aria-expanded') === 'true') {
      said.textContent = '';
      button.setAttribute('aria-expanded', 'false');
      return;
    }
    try {
      const answer = await json(`api/v1/events/${encodeURIComponent(event.id)}/similar?limit=${COUNT}`);
      found.replaceChildren(...answer.events.map(item));
      said.textContent = sentence(answer);
    } catch (error) {
      said.textContent = `They cannot be looked up: ${error.message}`;
    }
    button.setAttribute('aria-expanded', 'true');
  });
  return [button, list];
}
