/* What a chart says at one point of it: under the pointer, a finger, or a mark that the arrow keys move. */

import { make } from './words.js';

const probes = new Set();

/* Lays a probe over a drawing. `area()` is where it was drawn last, in pixels; `say(x, y)` says what is there (x and y from 0 at the
   left and at the bottom to 1) as { text, value }, where `value` lies in `range`. With `tall` the mark has a height too. With `pan` a
   key that would lead out of the drawing moves what is drawn. */
export function probe(drawing, { label, range, area, say, step = () => 0.01, tall = false, pan = null }) {
  const across = make('div', { class: 'mark across' });
  const along = make('div', { class: 'mark along' });
  const text = make('div', { class: 'read' });
  const [low, high] = range();
  const cover = make('div', { class: 'probe', role: 'slider', tabindex: '0', 'aria-label': label, 'aria-valuemin': String(low),
    'aria-valuemax': String(high), 'aria-valuenow': String(high), 'aria-valuetext': 'Nothing is read out yet.' }, across, along, text);
  const plot = make('div', { class: 'plot' });
  drawing.replaceWith(plot);
  plot.append(drawing, cover);
  let at = null;

  const show = () => {
    const within = area();
    const said = at && within && say(at.x, at.y);
    plot.classList.toggle('probed', Boolean(said));
    if (!said) return null;
    const x = within.left + at.x * (within.right - within.left);
    const y = within.bottom - at.y * (within.bottom - within.top);
    Object.assign(across.style, { left: `${x}px`, top: `${within.top}px`, height: `${within.bottom - within.top}px` });
    Object.assign(along.style, { left: `${within.left}px`, top: `${y}px`, width: `${within.right - within.left}px` });
    along.hidden = !tall;
    text.textContent = said.text;
    // beside the mark, where there is more room
    const right = at.x > 0.5;
    Object.assign(text.style, { left: right ? 'auto' : `${x + 8}px`, right: right ? `${cover.clientWidth - x + 8}px` : 'auto', top: `${within.top + 4}px` });
    return said;
  };
  const point = (event) => {
    const within = area();
    if (!within) return;
    const box = cover.getBoundingClientRect();
    const part = (v, from, to) => Math.max(0, Math.min(1, (v - from) / (to - from)));
    at = { x: part(event.clientX - box.left, within.left, within.right), y: part(event.clientY - box.top, within.bottom, within.top) };
    show();
  };
  /* Screen readers say what the keys have moved to, not what changes under a mark that stands still. */
  const speak = () => {
    const said = show();
    if (!said) return;
    const [least, most] = range();
    cover.setAttribute('aria-valuemin', least);
    cover.setAttribute('aria-valuemax', most);
    cover.setAttribute('aria-valuenow', Math.max(least, Math.min(most, said.value)));
    cover.setAttribute('aria-valuetext', said.text);
  };
  const leave = () => { at = null; show(); };

  cover.addEventListener('pointermove', point);
  cover.addEventListener('pointerdown', point);
  // a finger that was lifted leaves what it pointed at
  cover.addEventListener('pointerleave', (event) => { if (event.pointerType === 'mouse') leave(); });
  cover.addEventListener('blur', leave);
  cover.addEventListener('focus', () => {
    if (!cover.matches(':focus-visible')) return;
    at ??= { x: 1, y: 0.5 };
    speak();
  });
  cover.addEventListener('keydown', (event) => {
    const far = event.shiftKey ? 10 : 1;
    const [dx, dy] = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1], Home: [-Infinity, 0], End: [Infinity, 0],
      PageUp: [-10, 0], PageDown: [10, 0] }[event.key] ?? [0, 0];
    if ((!dx && !dy) || (dy && !tall) || event.ctrlKey || event.altKey || event.metaKey) return;
    event.preventDefault();
    at ??= { x: 1, y: 0.5 };
    const x = at.x + dx * far * step();
    if (pan && (x < 0 || x > 1)) pan(Number.isFinite(x) ? x - Math.max(0, Math.min(1, x)) : dx);
    at = { x: Math.max(0, Math.min(1, x)), y: Math.max(0, Math.min(1, at.y + (dy * far) / 64)) };
    speak();
  });
  const made = { show, plot, cover, drawing, mark: () => at, connected: false };
  probes.add(made);
  return made;
}

/* After charts were drawn anew: the marks stay, and say what is there now. */
export function refreshProbes() {
  for (const made of probes) {
    if (made.drawing.isConnected) { made.connected = true; made.show(); }
    // what was shown once and is gone does not come back
    else if (made.connected) probes.delete(made);
  }
}
