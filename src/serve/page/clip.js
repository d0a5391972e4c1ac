/* Listening to the clip of an event: for operators, where clips are kept. */

import { ask, state } from './ask.js';
import { mayReview } from './review.js';
import { make } from './words.js';

/* The button of an event; none where there is nothing to listen to, or nobody may. */
export function clipButton(event, box) {
  if (!state.overview?.clips || !state.overview.review.operators || !event.snapshot) return null;
  const button = make('button', { type: 'button', class: 'listen' }, 'Listen');
  const said = make('span', { role: 'status', class: 'dim' });
  const say = (text) => { said.textContent = text; };
  button.addEventListener('click', async () => {
    if (!await mayReview(say)) return;
    button.disabled = true;
    say('');
    try {
      const sound = await (await ask(`api/v1/events/${encodeURIComponent(event.id)}/clip`)).blob();
      const address = URL.createObjectURL(sound);
      const player = make('audio', { controls: true, src: address, 'aria-label': `Sound of the event of ${event.stream}` });
      const follow = () => {
        // an event that was closed or shown anew is silent
        if (!player.isConnected) { player.pause(); URL.revokeObjectURL(address); return; }
        box.playhead?.(player.ended ? null : player.currentTime);
        if (!player.paused) requestAnimationFrame(follow);
      };
      player.addEventListener('play', follow);
      player.addEventListener('seeked', follow);
      player.addEventListener('ended', follow);
      button.replaceWith(player);
      player.focus();
      // a browser may want a click of its own
      await player.play().catch(() => say('Press play.'));
    } catch (error) {
      button.disabled = false;
      say(`It cannot be played: ${error.message}`);
    }
  });
  return make('span', {}, button, ' ', said);
}
