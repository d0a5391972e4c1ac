/* The picture of an event: with axes, a probe, and larger on demand. What its pixels mean stands in the picture itself. */

import { $, ask } from './ask.js';
import { bandAt, clockOf, frequencyAxis, moments, since } from './axes.js';
import { canvas } from './draw.js';
import { probe } from './readout.js';
import { colour, fixed, hertz, make } from './words.js';

/* Left, right and bottom margins of a drawing, and the room that a moment takes. */
const [LEFT, RIGHT, BOTTOM, MOMENT] = [36, 8, 34, 92];
/* Seconds that are shown at least. */
const CLOSEST = 0.1;

/* The parts of a PNG that say what it shows: its text `Spectrogram`, and its colours. */
function read(bytes) {
  const view = new DataView(bytes);
  const found = { axes: null, colours: null };
  for (let at = 8; at + 12 <= view.byteLength;) {
    const length = view.getUint32(at);
    const kind = String.fromCharCode(...new Uint8Array(bytes, at + 4, 4));
    const body = new Uint8Array(bytes, at + 8, Math.min(length, view.byteLength - at - 8));
    if (kind === 'PLTE') found.colours = body;
    if (kind === 'tEXt') {
      const end = body.indexOf(0);
      const [key, text] = [body.subarray(0, end), body.subarray(end + 1)].map((part) => new TextDecoder().decode(part));
      if (key === 'Spectrogram') found.axes = JSON.parse(text);
    }
    if (kind === 'IDAT') break;
    at += length + 12;
  }
  return found;
}

/* It follows the end of an event within a second, or is not made at all. */
async function fetchPicture(event, tries = 3) {
  const answer = await ask(`api/v1/events/${encodeURIComponent(event.id)}.png`);
  if (answer.status !== 204) return answer.blob();
  if (tries < 2) return null;
  await new Promise((done) => setTimeout(done, 1000));
  return fetchPicture(event, tries - 1);
}

/* The picture as it came, with what is needed to draw and to read it out. */
async function decode(event, blob) {
  const { axes, colours } = read(await blob.arrayBuffer());
  const image = await createImageBitmap(blob);
  if (!axes || !colours) return null;
  const pixels = Object.assign(document.createElement('canvas'), { width: image.width, height: image.height }).getContext('2d', { willReadFrequently: true });
  pixels.drawImage(image, 0, 0);
  const parts = new Map();
  for (let n = 0; n < axes.levels; n += 1) parts.set(colours.subarray(3 * n, 3 * n + 3).join(), n / (axes.levels - 1));
  const length = (image.width / axes.column_px) * axes.column_s;
  return { ...axes, event, image, pixels, parts, last_s: axes.first_s + length, length };
}

/* Draws from `from` to `to` seconds; gives where. */
function drawPicture(element, shown, from, to) {
  const [pen, width, height] = canvas(element);
  const area = { left: LEFT, right: width - RIGHT, top: 4, bottom: height - BOTTOM };
  const [wide, tall] = [area.right - area.left, area.bottom - area.top];
  const x = (t) => area.left + ((t - from) / (to - from)) * wide;
  const pixel = (t) => ((t - shown.first_s) / shown.column_s) * shown.column_px;
  pen.imageSmoothingEnabled = false;
  pen.drawImage(shown.image, pixel(from), 0, pixel(to) - pixel(from), shown.image.height, area.left, area.top, wide, tall);
  frequencyAxis(pen, area, shown.band_hz, colour('dim'));
  const onset = Date.parse(shown.event.onset);
  const { step, at } = moments(from, to, Math.max(1, Math.floor(wide / MOMENT)));
  pen.textAlign = 'center';
  for (const t of at) {
    const place = Math.max(area.left + 14, Math.min(area.right - 14, x(t)));
    pen.fillRect(Math.round(x(t)), area.bottom, 1, 4);
    pen.fillText(since(t, step), place, area.bottom + 15);
    pen.fillText(clockOf(onset + 1000 * t, step < 0.1 ? 2 : step < 1 ? 1 : 0), Math.max(area.left + 30, Math.min(area.right - 32, place)), area.bottom + 29);
  }
  return { ...area, from, to };
}

function say(shown, area, x, y) {
  const t = area.from + x * (area.to - area.from);
  const band = bandAt(y, shown.band_hz);
  const column = Math.min(Math.floor((t - shown.first_s) / shown.column_s), Math.round(shown.length / shown.column_s) - 1);
  // the marks of onset and offset lie over the left half of a column
  const { data } = shown.pixels.getImageData((column + 1) * shown.column_px - 1, shown.image.height - 1 - band * shown.band_px, 1, 1);
  const part = shown.parts.get(`${data[0]},${data[1]},${data[2]}`);
  const level = part === undefined ? '' : ` · ${fixed(shown.level_db[0] + part * (shown.level_db[1] - shown.level_db[0]), 0)} dB`;
  return { text: `${since(t, 0.01)} · ${clockOf(Date.parse(shown.event.onset) + 1000 * t, 2)} · ${hertz(shown.band_hz[band])}${level}`, value: Math.round(100 * t) / 100 };
}

const describe = (event) => `Spectrogram of the event: ${event.summary}. White line: onset; red line: offset.`;

/* A drawing that can be read out; `view()` is the part of it in seconds. */
function drawing(shown, view, pan) {
  const element = make('canvas', { role: 'img', 'aria-label': describe(shown.event) });
  let area = null;
  const made = probe(element, {
    label: 'Read out the picture: left and right in time, up and down in frequency',
    range: () => view().map((t) => Math.round(100 * t) / 100),
    area: () => area,
    say: (x, y) => say(shown, area, x, y),
    step: () => shown.column_s / (area.to - area.from),
    tall: true,
    pan,
  });
  const draw = () => {
    if (!element.clientWidth) return;
    area = drawPicture(element, shown, ...view());
    made.show();
  };
  new ResizeObserver(draw).observe(element);
  return { ...made, draw, area: () => area };
}

/* The pictures of open events. */
const redrawn = new Set();

/* Adds the picture of an event to its details; gives what marks a moment in it while the clip is played. */
export async function showPicture(event, box) {
  const blob = await fetchPicture(event);
  if (!blob) return;
  const shown = await decode(event, blob);
  // it may have been closed meanwhile
  if (!box.isConnected) return;
  const place = box.querySelector('.review');
  const address = URL.createObjectURL(blob);
  if (!shown) {
    // of a version whose pictures had no axes
    place.after(make('img', { src: address, alt: describe(event), onload: () => URL.revokeObjectURL(address) }));
    return;
  }
  const large = make('button', { type: 'button' }, 'Enlarge');
  const save = make('a', { href: address, download: `${event.stream}-${event.id}.png` }, 'Save the picture');
  const drawn = drawing(shown, () => [shown.first_s, shown.last_s]);
  const playhead = make('div', { class: 'playhead', hidden: true });
  drawn.plot.append(playhead);
  large.addEventListener('click', () => zoom(shown));
  drawn.cover.addEventListener('click', (click) => { if (click.pointerType === 'mouse') zoom(shown); });
  drawn.cover.addEventListener('keydown', (key) => { if (key.key === 'Enter') zoom(shown); });
  place.after(make('figure', { class: 'picture' }, drawn.plot, make('figcaption', {},
    make('span', {}, 'Seconds from the onset, and the time of day; frequency in Hz (mel). '), large, ' ', save)));
  redrawPictures();
  redrawn.add({ ...drawn, address });
  box.playhead = (played) => {
    const area = drawn.area();
    playhead.hidden = played === null || !area;
    if (playhead.hidden) return;
    const x = area.left + Math.min(1, played / shown.length) * (area.right - area.left);
    Object.assign(playhead.style, { left: `${x}px`, top: `${area.top}px`, height: `${area.bottom - area.top}px` });
  };
}

/* Pictures stay as they are until the colours of the page change; those that are gone are forgotten. */
export function redrawPictures() {
  for (const drawn of redrawn) {
    if (drawn.drawing.isConnected) { drawn.draw(); continue; }
    redrawn.delete(drawn);
    URL.revokeObjectURL(drawn.address);
  }
}

/* The picture in a window of its own: wheel, + and − look closer and farther, the mark moves on beyond the edge. */
function zoom(shown) {
  const dialog = $('zoom');
  let [from, to] = [shown.first_s, shown.last_s];
  const look = (begin, length) => {
    const wide = Math.max(Math.min(CLOSEST, shown.length), Math.min(shown.length, length));
    from = Math.max(shown.first_s, Math.min(shown.last_s - wide, begin));
    to = from + wide;
    drawn.draw();
  };
  const closer = (factor, part = drawn.mark()?.x ?? 0.5) => { const t = from + part * (to - from); look(t - part * (to - from) * factor, (to - from) * factor); };
  const drawn = drawing(shown, () => [from, to], (part) => look(from + part * (to - from), to - from));
  const part = (x) => {
    const [area, box] = [drawn.area(), drawn.cover.getBoundingClientRect()];
    return Math.max(0, Math.min(1, (x - box.left - area.left) / (area.right - area.left)));
  };
  drawn.cover.addEventListener('wheel', (wheel) => {
    wheel.preventDefault();
    if (Math.abs(wheel.deltaX) > Math.abs(wheel.deltaY) || wheel.shiftKey) look(from + ((wheel.deltaX || wheel.deltaY) / 1000) * (to - from), to - from);
    else closer(wheel.deltaY > 0 ? 1.25 : 0.8, part(wheel.clientX));
  }, { passive: false });
  // two fingers: what is between them grows with their distance
  const fingers = new Map();
  const spread = () => { const [a, b] = [...fingers.values()]; return [Math.max(20, Math.abs(a - b)), part((a + b) / 2)]; };
  drawn.cover.addEventListener('pointerdown', (finger) => { if (finger.pointerType === 'touch') fingers.set(finger.pointerId, finger.clientX); });
  drawn.cover.addEventListener('pointermove', (finger) => {
    if (!fingers.has(finger.pointerId)) return;
    const before = fingers.size === 2 ? spread() : null;
    fingers.set(finger.pointerId, finger.clientX);
    if (before) closer(before[0] / spread()[0], spread()[1]);
  });
  for (const kind of ['pointerup', 'pointercancel']) drawn.cover.addEventListener(kind, (finger) => fingers.delete(finger.pointerId));
  dialog.onkeydown = (key) => {
    const factor = { '+': 0.8, '=': 0.8, '-': 1.25, 0: Infinity }[key.key];
    if (factor) { key.preventDefault(); closer(factor); }
  };
  $('zoom-in').onclick = () => closer(0.5);
  $('zoom-out').onclick = () => closer(2);
  $('zoom-all').onclick = () => look(shown.first_s, shown.length);
  $('zoom-leave').onclick = () => dialog.close();
  dialog.onclose = () => $('zoom-picture').replaceChildren();
  $('zoom-title').textContent = `${shown.event.stream}, ${clockOf(Date.parse(shown.event.onset), 2)}: ${shown.event.summary}`;
  $('zoom-picture').replaceChildren(drawn.plot);
  dialog.showModal();
  drawn.cover.focus();
}
