/* Colours, and the start. */

import { $, json, state } from './ask.js';
import { draw } from './draw.js';
import { loadEvents } from './filter.js';
import { refresh } from './health.js';
import { connect, frame, linked } from './live.js';
import { showCalibration } from './normal.js';
import './operate.js';
import { redrawPictures } from './picture.js';
import { followLink } from './review.js';
import { choose, learn } from './streams.js';

const dark = matchMedia('(prefers-color-scheme: dark)');
function paint() {
  const choice = localStorage.getItem('colours') || 'automatic';
  document.documentElement.classList.toggle('dark', choice === 'dark' || (choice === 'automatic' && dark.matches));
  $('theme').textContent = `Colours: ${choice}`;
  if (state.calibration) showCalibration();
  draw();
  redrawPictures();
}
$('theme').addEventListener('click', () => {
  const order = ['automatic', 'light', 'dark'];
  localStorage.setItem('colours', order[(order.indexOf(localStorage.getItem('colours') || 'automatic') + 1) % 3]);
  paint();
});
dark.addEventListener('change', paint);
$('span').addEventListener('change', draw);
addEventListener('resize', () => { draw(); if (state.calibration) showCalibration(); });

async function start() {
  paint();
  for (;;) {
    try {
      await refresh();
      state.events = (await json('api/v1/events?limit=200')).events;
      await loadEvents();
      break;
    } catch (error) {
      linked('not connected', 'bad');
      $('link').title = error.message;
      await new Promise((done) => setTimeout(done, 2000));
    }
  }
  requestAnimationFrame(frame);
  setInterval(() => { if (!document.hidden) refresh().catch(() => {}); }, 5000);
  const views = [...state.streams.values()];
  const first = views.find((view) => view.availability?.state === 'online') ?? views[0];
  if (first) await choose(first.id);
  await followLink();
}

/* a hidden page requests no updates */
document.addEventListener('visibilitychange', () => {
  if (document.hidden) {
    state.leave?.abort();
  } else if (state.chosen) {
    refresh().then(() => learn(state.chosen)).catch(() => {});
    state.columns = [];
    connect();
  }
});
start();
