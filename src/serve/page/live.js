/* What comes while the page is open. */

import { $, ask, state } from './ask.js';
import { draw } from './draw.js';
import { countSoon, matches, showList } from './filter.js';
import { refresh } from './health.js';
import { preview } from './normal.js';
import { recallColumns, takeColumn } from './spectrum.js';
import { learn, showStreams } from './streams.js';

export async function connect() {
  state.leave?.abort();
  const leave = new AbortController();
  state.leave = leave;
  let away = false;
  while (!leave.signal.aborted) {
    try {
      const query = state.chosen ? `?stream=${encodeURIComponent(state.chosen)}` : '';
      const answer = await ask(`api/v1/live${query}`, leave.signal);
      linked('live', 'good');
      // what came before, or in between, is kept by the daemon
      if (state.chosen) recallColumns(state.chosen).catch(() => {});
      if (state.chosen && away) learn(state.chosen).catch(() => {});
      away = true;
      await read(answer.body.getReader());
    } catch (error) {
      if (leave.signal.aborted) return;
      linked('not connected', 'bad');
      $('link').title = error.message;
    }
    if (leave.signal.aborted) return;
    linked('not connected', 'bad');
    await new Promise((done) => setTimeout(done, 2000));
    if (!leave.signal.aborted) await refresh().catch(() => {});
  }
}

export function linked(word, kind) {
  if ($('link').textContent === word) return;
  $('link').textContent = word;
  $('link').className = `pill ${kind}`;
}

async function read(reader) {
  const decoder = new TextDecoder();
  let rest = '';
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    rest += decoder.decode(value, { stream: true });
    const messages = rest.split('\n\n');
    rest = messages.pop();
    for (const message of messages) {
      const found = /^event: (.*)\ndata: (.*)$/.exec(message);
      if (found) take(found[1], JSON.parse(found[2]));
    }
  }
}

function take(kind, data) {
  if (kind === 'column') {
    takeColumn(data);
    wanted.live = true;
  } else if (kind === 'second') {
    const view = state.streams.get(data.stream);
    if (view) view.latest = data.score;
    if (data.stream === state.chosen && state.history) {
      const { score } = data;
      const past = state.history;
      for (const key of ['t_s', 'score', 'surprise', 'novelty', 'level_dbfs']) {
        past[key].push(score[key] ?? null);
        if (past[key].length > 3600) past[key].shift();
      }
      wanted.live = true;
    }
    wanted.streams = true;
  } else if (kind === 'event') {
    const former = state.list.findIndex((event) => event.id === data.id);
    if (former >= 0) state.list[former] = { ...data, verdict: state.list[former].verdict, label: state.list[former].label || data.label };
    else if (matches(data)) state.list.unshift(data);
    const at = state.events.findIndex((event) => event.id === data.id);
    const view = state.streams.get(data.stream);
    if (at < 0) {
      state.events.unshift(data);
      state.events.length = Math.min(state.events.length, 200);
      if (view) view[data.tier === 'severe' ? 'severe' : 'alarms'] += 1;
      $('said').textContent = `Event of severity ${data.severity} on ${data.stream}: ${data.summary}`;
    } else {
      state.events[at] = data;
    }
    wanted.events = wanted.streams = true;
    countSoon();
  } else if (kind === 'presence') {
    const view = state.streams.get(data.stream);
    if (view) view.availability = data.availability;
    wanted.streams = true;
    if (data.stream === state.chosen) wanted.live = true;
  } else if (kind === 'calibration' && data.stream === state.chosen) {
    learn(data.stream).catch(() => {});
  }
}

const wanted = { live: false, streams: false, events: false };
export function frame() {
  if (wanted.live) draw();
  if (wanted.streams) showStreams();
  if (wanted.events) { showList(); preview(); }
  wanted.live = wanted.streams = wanted.events = false;
  setTimeout(() => requestAnimationFrame(frame), 90);
}
