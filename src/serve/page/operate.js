/* What operators do with the chosen stream: mute it, calibrate it again, set its budget. */

import { $, ask, state } from './ask.js';
import { mayReview } from './review.js';
import { rate } from './words.js';

async function request(command, fields, done) {
  const said = $('operate-said');
  if (!await mayReview((text) => { said.textContent = text; })) return;
  try {
    await ask(`api/v1/request/${command}`, undefined, { stream: state.chosen, ...fields });
    said.textContent = `${state.chosen}: ${done}.`;
  } catch (error) {
    said.textContent = `It was not done: ${error.message}`;
  }
}

$('mute').addEventListener('click', () => request('mute', { seconds: 60 * Number($('mute-for').value) }, `no events for ${$('mute-for').selectedOptions[0].textContent}`));
$('unmute').addEventListener('click', () => request('mute', { seconds: 0 }, 'events are reported again'));
$('recalibrate').addEventListener('click', () => request('recalibrate', {}, 'what is normal is learnt anew'));
$('set-budget').addEventListener('click', () => {
  const budget = Number((10 ** Number($('budget').value)).toPrecision(2));
  request('budget', { events_per_hour: budget }, `the budget is ${rate(budget)} until the next start`);
});
