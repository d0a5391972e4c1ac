'use strict';
/* The page asks this daemon only. The token, where one is needed, is kept for this tab. */

const $ = (id) => document.getElementById(id);
const state = {
  token: sessionStorage.getItem('token') || '', overview: null, chosen: null, streams: new Map(), events: [],
  history: null, columns: [], calibration: null, leave: null, faults: '', heard: 0,
};
const fromLink = new URLSearchParams(location.hash.slice(1)).get('token');
if (fromLink) {
  state.token = fromLink;
  sessionStorage.setItem('token', fromLink);
  history.replaceState(null, '', location.pathname);
}

/* ---- asking ---- */

const headers = () => (state.token ? { Authorization: `Bearer ${state.token}` } : {});

async function ask(path, signal) {
  const answer = await fetch(path, { headers: headers(), signal, cache: 'no-store' });
  if (answer.status === 401) {
    await askToken();
    return ask(path, signal);
  }
  if (!answer.ok) throw new Error((await answer.text()).trim() || answer.statusText);
  return answer;
}

const json = async (path) => (await ask(path)).json();

let asking = null;
function askToken() {
  asking ??= new Promise((done) => {
    $('ask-wrong').hidden = !state.token;
    $('ask').showModal();
    $('ask-form').onsubmit = () => {
      state.token = $('token').value.trim();
      sessionStorage.setItem('token', state.token);
      asking = null;
      done();
    };
  });
  return asking;
}
$('ask').addEventListener('cancel', (event) => event.preventDefault());

/* ---- words and figures ---- */

const make = (tag, of = {}, ...inside) => {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(of)) {
    if (name === 'class') element.className = value;
    else if (name in element && typeof value !== 'string') element[name] = value;
    else element.setAttribute(name, value);
  }
  element.append(...inside.filter((x) => x !== null));
  return element;
};
const SVG = 'http://www.w3.org/2000/svg';
const shape = (tag, of, text) => {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(of)) element.setAttribute(name, value);
  if (text) element.textContent = text;
  return element;
};
const fixed = (x, n = 1) => (x === null || x === undefined || Number.isNaN(x) ? '–' : x.toFixed(n));
const clock = (text) => new Date(text).toLocaleTimeString([], { hour12: false });
const whole = (x) => Math.round(x).toLocaleString();
function bytes(x) {
  const at = x > 0 ? Math.min(3, Math.floor(Math.log2(x) / 10)) : 0;
  return `${fixed(x / 2 ** (10 * at), at ? 1 : 0)} ${['B', 'KiB', 'MiB', 'GiB'][at]}`;
}
function lasting(s) {
  if (s < 120) return `${Math.round(s)} s`;
  if (s < 7200) return `${Math.round(s / 60)} min`;
  return s < 172800 ? `${fixed(s / 3600)} h` : `${fixed(s / 86400)} days`;
}
const hertz = (x) => (x >= 1000 ? `${fixed(x / 1000)} kHz` : `${Math.round(x)} Hz`);
const rate = (x) => (x >= 1 ? `${fixed(x, x < 10 ? 1 : 0)} an hour` : `${fixed(x * 24, 1)} a day`);
const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();

/* ---- streams ---- */

const threshold = (id) => state.overview?.health.streams[id]?.threshold ?? null;

function stateOf(view) {
  if (view.availability?.state === 'offline') return ['offline', 'bad'];
  const doing = view.latest?.state;
  if (!doing) return ['waiting', ''];
  const input = state.overview.health.streams[view.id]?.input.state;
  if (input && input !== 'good') return [`input ${input}`, 'bad'];
  return doing === 'watching' ? ['watching', 'good'] : [doing, ''];
}

const rows = new Map();
function showStreams() {
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
    const told = view.alarms + view.severe;
    row.more.textContent = view.availability?.state === 'offline' ? view.availability.reason || 'no sound'
      : `${fixed(view.latest?.level_dbfs ?? null, 0)} dBFS · score ${fixed(score)} of ${fixed(limit)} · ${told} event${told === 1 ? '' : 's'}`;
    row.bar.setAttribute('width', score === null || !limit || word === 'offline' ? 0 : Math.min(100, (100 * score) / limit));
    row.box.classList.toggle('over', word !== 'offline' && score !== null && limit !== null && score >= limit);
    row.element.setAttribute('aria-selected', String(view.id === state.chosen));
    row.element.hidden = !view.id.toLowerCase().includes(find);
  }
  if (state.chosen) list.setAttribute('aria-activedescendant', `stream-${state.chosen}`);
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

async function choose(id) {
  if (state.chosen === id) return;
  state.chosen = id;
  state.columns = [];
  state.history = null;
  state.calibration = null;
  $('chosen').textContent = id;
  $('cal-of').textContent = id;
  showStreams();
  showEvents();
  connect();
  await learn(id);
}

async function learn(id) {
  const of = encodeURIComponent(id);
  const [past, normal] = await Promise.all([json(`api/v1/history?stream=${of}`), json(`api/v1/calibration?stream=${of}`)]);
  if (state.chosen !== id) return;
  state.history = past;
  state.calibration = normal.calibration;
  setBudget();
  showCalibration();
  draw();
}

/* ---- live ---- */

async function connect() {
  state.leave?.abort();
  const leave = new AbortController();
  state.leave = leave;
  while (!leave.signal.aborted) {
    try {
      const query = state.chosen ? `?stream=${encodeURIComponent(state.chosen)}` : '';
      const answer = await ask(`api/v1/live${query}`, leave.signal);
      linked('live', 'good');
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

function linked(word, kind) {
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
    state.columns.push(data);
    if (state.columns.length > 600) state.columns.shift();
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
    const at = state.events.findIndex((event) => event.id === data.id);
    const view = state.streams.get(data.stream);
    if (at < 0) {
      state.events.unshift(data);
      state.events.length = Math.min(state.events.length, 200);
      if (view) view[data.tier === 'severe' ? 'severe' : 'alarms'] += 1;
      $('said').textContent = `${data.tier === 'severe' ? 'Severe event' : 'Event'} on ${data.stream}: ${why(data)}`;
    } else {
      state.events[at] = data;
    }
    wanted.events = true;
  } else if (kind === 'presence') {
    const view = state.streams.get(data.stream);
    if (view) view.availability = data.availability;
    wanted.streams = true;
  } else if (kind === 'calibration' && data.stream === state.chosen) {
    learn(data.stream).catch(() => {});
  }
}

const wanted = { live: false, streams: false, events: false };
function frame() {
  if (wanted.live) draw();
  if (wanted.streams) showStreams();
  if (wanted.events) { showEvents(); preview(); }
  wanted.live = wanted.streams = wanted.events = false;
  setTimeout(() => requestAnimationFrame(frame), 90);
}

/* ---- drawing ---- */

function canvas(element) {
  const ratio = Math.min(devicePixelRatio || 1, 2);
  const [width, height] = [element.clientWidth, element.clientHeight];
  if (element.width !== Math.round(width * ratio)) element.width = Math.round(width * ratio);
  if (element.height !== Math.round(height * ratio)) element.height = Math.round(height * ratio);
  const pen = element.getContext('2d');
  pen.setTransform(ratio, 0, 0, ratio, 0, 0);
  pen.clearRect(0, 0, width, height);
  pen.font = '11px system-ui, sans-serif';
  return [pen, width, height];
}

/* viridis: equal differences look equal, also without seeing colours */
const VIRIDIS = ['440154', '482576', '414487', '35608d', '2a788e', '21908c', '22a884', '43bf71', '7ad151', 'bbdf27', 'fde725']
  .map((hex) => [0, 2, 4].map((at) => parseInt(hex.slice(at, at + 2), 16)));
const PALETTE = Array.from({ length: 256 }, (_, level) => {
  const place = (level / 255) * 10;
  const below = Math.min(9, Math.floor(place));
  return VIRIDIS[below].map((x, i) => Math.round(x + (place - below) * (VIRIDIS[below + 1][i] - x)));
});

function drawSpectrum() {
  const element = $('spectrum');
  const pen = element.getContext('2d');
  const across = 600;
  element.width = across;
  element.height = 64;
  if (!state.columns.length) return;
  const bands = state.columns.map((column) => column.bands.match(/../g).map((hex) => parseInt(hex, 16)));
  const all = bands.flat().sort((a, b) => a - b);
  const low = all[Math.floor(all.length / 20)];
  const span = Math.max(40, all[all.length - 1] - low);
  const image = pen.createImageData(bands.length, 64);
  bands.forEach((column, x) => column.forEach((level, band) => {
    const [r, g, b] = PALETTE[Math.max(0, Math.min(255, Math.round((255 * (level - low)) / span)))];
    image.data.set([r, g, b, 255], 4 * ((63 - band) * bands.length + x));
  }));
  pen.putImageData(image, across - bands.length, 0);
}

function series() {
  const span = Number($('span').value);
  if (span === 30) {
    // what was before the page looked closely is known by the second
    const from = state.columns[0]?.t_s ?? Infinity;
    const older = (state.history?.t_s ?? []).slice(-60).filter((t) => t < from).length;
    const start = Math.max(0, (state.history?.t_s.length ?? 0) - 60);
    const of = (key) => (state.history?.[key] ?? []).slice(start, start + older).concat(state.columns.map((column) => column[key]));
    return { span, t_s: of('t_s'), score: of('score'), surprise: of('surprise'), novelty: of('novelty') };
  }
  const from = Math.max(0, (state.history?.t_s.length ?? 0) - span);
  const of = (key) => (state.history?.[key] ?? []).slice(from);
  return { span, t_s: of('t_s'), score: of('score'), surprise: of('surprise'), novelty: of('novelty') };
}

function drawScores() {
  const [pen, width, height] = canvas($('scores'));
  const past = series();
  const limit = threshold(state.chosen);
  const [left, right, top, bottom] = [30, width - 6, 8, height - 20];
  const end = past.t_s.at(-1) ?? 0;
  const x = (t) => right - ((end - t) / past.span) * (right - left);
  const highest = Math.max(6, limit ?? 0, ...past.score.map((v) => v ?? 0)) * 1.08;
  const y = (v) => bottom - (Math.max(0, Math.min(v, highest)) / highest) * (bottom - top);
  for (const event of state.events.filter((e) => e.stream === state.chosen && e.boot === state.overview?.health.boot)) {
    const [from, to] = [Math.max(left, x(event.onset_s)), x(event.offset_s ?? end)];
    if (to < left || from > right) continue;
    pen.fillStyle = colour(event.tier === 'severe' ? 'severe' : 'event');
    pen.fillRect(from, top, Math.max(2, to - from), bottom - top);
  }
  pen.strokeStyle = colour('line');
  pen.fillStyle = colour('dim');
  pen.lineWidth = 1;
  pen.textAlign = 'right';
  const step = highest > 8 ? 3 : 2;
  for (let v = 0; v <= highest; v += step) {
    pen.beginPath();
    pen.moveTo(left, y(v));
    pen.lineTo(right, y(v));
    pen.stroke();
    pen.fillText(String(v), left - 6, y(v) + 4);
  }
  pen.textAlign = 'center';
  for (let n = 0; n < 3; n += 1) {
    const ago = (past.span * (3 - n)) / 3.2;
    pen.fillText(`${lasting(ago)} ago`, x(end - ago), height - 5);
  }
  for (const key of ['novelty', 'surprise', 'score']) {
    pen.strokeStyle = colour(key);
    pen.lineWidth = key === 'score' ? 2 : 1.2;
    pen.beginPath();
    let on = false;
    past.t_s.forEach((t, i) => {
      const v = past[key][i];
      if (v === null || v === undefined || x(t) < left) { on = false; return; }
      if (on) pen.lineTo(x(t), y(v)); else pen.moveTo(x(t), y(v));
      on = true;
    });
    pen.stroke();
  }
  if (limit !== null) {
    pen.strokeStyle = colour('limit');
    pen.lineWidth = 1.5;
    pen.setLineDash([6, 4]);
    pen.beginPath();
    pen.moveTo(left, y(limit));
    pen.lineTo(right, y(limit));
    pen.stroke();
    pen.setLineDash([]);
  }
}

let spoken = 0;
function draw() {
  const near = $('span').value === '30';
  $('strip').hidden = !near;
  if (near) drawSpectrum();
  drawScores();
  // whoever hears the page hears a line now and then, not ten a second
  if (Date.now() - spoken < 1000) return;
  spoken = Date.now();
  const view = state.streams.get(state.chosen);
  const latest = view?.latest;
  if (!latest) { $('live-text').textContent = 'Waiting for sound.'; return; }
  $('live-text').textContent = latest.state === 'calibrating'
    ? `Learning what is normal; nothing is reported yet. Level ${fixed(latest.level_dbfs, 0)} dBFS.`
    : `Score ${fixed(latest.score)}, threshold ${fixed(threshold(state.chosen))}; surprise ${fixed(latest.surprise)}, novelty ${fixed(latest.novelty)}, level ${fixed(latest.level_dbfs, 0)} dBFS.`;
}

/* ---- events ---- */

function why(event) {
  const about = event.evidence === 'surprise' ? 'not what the sound before foretold' : 'a sound that is foreign here';
  const band = event.band_hz ? `, most at ${hertz(event.band_hz[0])} to ${hertz(event.band_hz[1])}` : '';
  const change = event.level_change_db;
  const level = Math.abs(change) >= 1 ? `, ${fixed(Math.abs(change), 0)} dB ${change > 0 ? 'over' : 'under'} the background` : '';
  return about + band + level;
}

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

const shownEvents = new Map();
function detail(event) {
  const near = event.nearest
    && state.events.find((e) => e.stream === event.stream && e.boot === event.boot && e.number === event.nearest.number);
  const lines = make('dl', {});
  const line = (name, value) => lines.append(make('dt', {}, name), make('dd', {}, value));
  line('score at its highest', `${fixed(event.score)} (p ${event.p.toExponential(1)} a second)`);
  line('mean score', fixed(event.score_mean));
  line('surprise, novelty', `${fixed(event.surprise)}, ${fixed(event.novelty)}`);
  line('level, background', `${fixed(event.level_dbfs)}, ${fixed(event.background_dbfs)} dBFS`);
  line('lasted', event.offset_s === null ? 'it goes on' : `${fixed(event.offset_s - event.onset_s, 2)} s`);
  line('told after', `${fixed(event.emitted_s - event.onset_s, 2)} s of sound`);
  if (event.nearest) line('most like', `event ${event.nearest.number}${near ? ` of ${clock(near.onset)}` : ''} (${fixed(event.nearest.cosine, 2)} of 1)`);
  line('budget', rate(event.budget_per_hour));
  line('id', event.id);
  const box = make('div', { class: 'detail' }, lines, make('p', { class: 'dim' }, 'Surprise at the peak, in nats, for 1 to '
    + `${event.surprise_per_k.length} frames of 10 ms ahead; up is more surprising:`), perHorizon(event));
  if (event.snapshot) {
    ask(`api/v1/events/${encodeURIComponent(event.id)}.png`).then(async (answer) => {
      const url = URL.createObjectURL(await answer.blob());
      box.prepend(make('img', { src: url, alt: `Spectrogram of the event: ${why(event)}. White line: onset; red line: offset.` }));
    }).catch(() => {});
  }
  return box;
}

function showEvents() {
  const list = $('events');
  const only = $('only').checked ? state.chosen : null;
  const events = state.events.filter((event) => !only || event.stream === only).slice(0, 100);
  const keep = new Set(events.map((event) => event.id));
  for (const [id, item] of shownEvents) {
    if (!keep.has(id)) { item.element.remove(); shownEvents.delete(id); }
  }
  events.forEach((event, at) => {
    let item = shownEvents.get(event.id);
    if (!item) {
      const summary = make('summary', {});
      const fold = make('details', {}, summary);
      item = { element: make('li', {}, fold), summary, fold, seq: -1 };
      fold.addEventListener('toggle', () => {
        fold.querySelector('.detail')?.remove();
        if (fold.open) fold.append(detail(item.event));
      });
      shownEvents.set(event.id, item);
    }
    if (item.seq !== event.seq) {
      item.event = event;
      item.seq = event.seq;
      const severe = event.tier === 'severe';
      item.summary.replaceChildren(
        make('span', { class: `pill ${severe ? 'bad' : ''}` }, severe ? 'severe' : 'alarm'),
        make('span', { class: 'when' }, clock(event.onset)), make('strong', {}, event.stream),
        make('span', { class: 'why' }, why(event)),
        make('span', { class: 'dim' }, event.offset_s === null ? 'goes on' : `${fixed(event.offset_s - event.onset_s)} s`));
      if (item.fold.open) {
        item.fold.querySelector('.detail')?.remove();
        item.fold.append(detail(event));
      }
    }
    if (list.children[at] !== item.element) list.insertBefore(item.element, list.children[at] ?? null);
  });
  $('no-events').hidden = events.length > 0;
}
$('only').addEventListener('change', showEvents);

/* ---- what is normal ---- */

function showCalibration() {
  const known = state.calibration;
  $('cal').hidden = !known;
  if (!known) { $('cal-text').textContent = 'Normal is still being learnt here.'; preview(); return; }
  const choice = $('cal-score');
  const before = choice.value;
  choice.replaceChildren(...known.tails.map((tail) => make('option', { value: tail.score }, tail.score)));
  if (known.tails.some((tail) => tail.score === before)) choice.value = before;
  const tail = known.tails.find((t) => t.score === choice.value);
  const seconds = tail.counts.reduce((a, b) => a + b, 0);
  $('cal-text').textContent = `Learnt from ${lasting(known.seconds)} of sound at ${fixed(known.background_dbfs, 0)} dBFS (${known.id}). `
    + `${seconds} seconds of ${tail.score}, ${tail.discarded} put aside as events; beyond ${fixed(tail.threshold, 2)} a tail of shape ${fixed(tail.shape, 2)} was fitted.`;
  const [pen, width, height] = canvas($('histogram'));
  const [left, right, top, bottom] = [34, width - 6, 8, height - 18];
  const [low, wide] = tail.bins;
  const [start, end] = [low, tail.curve.at(-1)[0]];
  const x = (v) => left + ((v - start) / (end - start)) * (right - left);
  const most = Math.max(...tail.counts);
  pen.fillStyle = colour('novelty');
  tail.counts.forEach((count, i) => {
    const tall = (count / most) * (bottom - top);
    pen.fillRect(x(low + i * wide), bottom - tall, Math.max(1, x(low + wide) - x(low) - 0.5), tall);
  });
  const y = (p) => top + (Math.min(9, -Math.log10(p)) / 9) * (bottom - top);
  pen.fillStyle = colour('dim');
  pen.textAlign = 'right';
  for (const n of [0, 3, 6, 9]) pen.fillText(n ? `1e-${n}` : '1', left - 4, y(10 ** -n) + 4);
  pen.textAlign = 'left';
  pen.fillText(fixed(start), left, height - 4);
  pen.textAlign = 'right';
  pen.fillText(fixed(end), right, height - 4);
  pen.strokeStyle = colour('score');
  pen.lineWidth = 2;
  pen.beginPath();
  tail.curve.forEach(([v, p], i) => (i ? pen.lineTo(x(v), y(p)) : pen.moveTo(x(v), y(p))));
  pen.stroke();
  pen.strokeStyle = colour('limit');
  pen.setLineDash([6, 4]);
  pen.beginPath();
  pen.moveTo(x(tail.threshold), top);
  pen.lineTo(x(tail.threshold), bottom);
  pen.stroke();
  pen.setLineDash([]);
  preview();
}
$('cal-score').addEventListener('change', showCalibration);

function setBudget() {
  const last = state.events.find((event) => event.stream === state.chosen)?.budget_per_hour;
  const now = last ?? state.overview?.budget_per_hour;
  if (now && !setBudget.done) { $('budget').value = Math.log10(now); setBudget.done = true; }
}

/* Seconds at or above the score that the budget allows by the tail alone; neighbours within 2 s are one alarm. */
function preview() {
  const budget = 10 ** Number($('budget').value);
  const limit = -Math.log10(budget / 3600);
  $('budget-is').textContent = rate(budget);
  $('budget').setAttribute('aria-valuetext', rate(budget));
  const past = state.history;
  const scored = past?.score.filter((v) => v !== null && !Number.isNaN(v)).length ?? 0;
  if (!scored) { $('budget-text').textContent = 'There are no scores yet to try it on.'; return; }
  let [count, last] = [0, -10];
  past.score.forEach((v, i) => {
    if (v === null || v < limit) return;
    if (past.t_s[i] - last > 2) count += 1;
    last = past.t_s[i];
  });
  $('budget-text').textContent = `Of the last ${lasting(scored)} of ${state.chosen}, ${count} alarm${count === 1 ? '' : 's'} would have been told `
    + `(score ${fixed(limit)} or more by the tail alone; what the threshold has learnt since is left out). Nothing is changed here: set events_per_hour.`;
}
$('budget').addEventListener('input', preview);

/* ---- health ---- */

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
  line('memory', bytes(health.rss_bytes));
  line('samples in', whole(health.samples_in));
  line('scored, shed, waiting', `${whole(health.samples_scored)}, ${whole(health.samples_shed)}, ${whole(waiting)}`);
  line('documents accepted', whole(health.events_accepted));
  line('acknowledged, pending, dropped', `${whole(health.events_acked)}, ${whole(health.events_pending)}, ${whole(health.events_dropped)}`);
  line('refused', whole(health.events_refused));
  if (broker) line('outbox', `${bytes(health.outbox.bytes)}${health.outbox.degraded ? ', disk refuses' : ''}`);
  const sums = Object.values(health.streams).reduce((sum, s) => [sum[0] + s.overruns, sum[1] + s.xruns, sum[2] + s.lost_samples], [0, 0, 0]);
  line('overruns, xruns, samples lost', sums.map(whole).join(', '));
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

async function refresh() {
  const overview = await json('api/v1/overview');
  const again = state.overview && state.overview.health.boot !== overview.health.boot;
  state.overview = overview;
  $('node').textContent = overview.node;
  document.title = `${overview.node} · cpc-stream`;
  state.streams = new Map(overview.streams.map((view) => [view.id, view]));
  if (again) {
    state.events = (await json('api/v1/events')).events;
    state.columns = [];
    if (state.chosen) await learn(state.chosen);
  }
  showHealth();
  showStreams();
  preview();
}

/* ---- colours ---- */

const dark = matchMedia('(prefers-color-scheme: dark)');
function paint() {
  const choice = localStorage.getItem('colours') || 'automatic';
  document.documentElement.classList.toggle('dark', choice === 'dark' || (choice === 'automatic' && dark.matches));
  $('theme').textContent = `Colours: ${choice}`;
  if (state.calibration) showCalibration();
  drawScores();
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
      state.events = (await json('api/v1/events')).events;
      showEvents();
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
}

/* a page that nobody sees looks at nothing */
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
