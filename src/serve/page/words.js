/* Elements, words and figures. */

export const make = (tag, of = {}, ...inside) => {
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
export const shape = (tag, of, text) => {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(of)) element.setAttribute(name, value);
  if (text) element.textContent = text;
  return element;
};
export const fixed = (x, n = 1) => (x === null || x === undefined || Number.isNaN(x) ? '–' : x.toFixed(n));
export const clock = (text) => new Date(text).toLocaleTimeString([], { hour12: false });
export const minute = (at) => new Date(at).toLocaleTimeString([], { hour: '2-digit', minute: '2-digit', hour12: false });
export const day = (text) => new Date(text).toLocaleDateString([], { weekday: 'short', day: 'numeric', month: 'short', year: 'numeric' });
export const plural = (n, word) => `${whole(n)} ${word}${n === 1 ? '' : 's'}`;
export const whole = (x) => Math.round(x).toLocaleString();
export function bytes(x) {
  const at = x > 0 ? Math.min(3, Math.floor(Math.log2(x) / 10)) : 0;
  return `${fixed(x / 2 ** (10 * at), at ? 1 : 0)} ${['B', 'KiB', 'MiB', 'GiB'][at]}`;
}
export function lasting(s) {
  if (s < 120) return `${Math.round(s)} s`;
  if (s < 7200) return `${Math.round(s / 60)} min`;
  return s < 172800 ? `${fixed(s / 3600)} h` : `${fixed(s / 86400)} days`;
}
export const hertz = (x) => (x >= 1000 ? `${fixed(x / 1000)} kHz` : `${Math.round(x)} Hz`);
export const rate = (x) => (x >= 1 ? `${fixed(x, x < 10 ? 1 : 0)} an hour` : `${fixed(x * 24, 1)} a day`);
export const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
