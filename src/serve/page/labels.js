/* Labels: sounds that people have named. Their list, and what operators do with them. */

import { $, ask, json } from './ask.js';
import { mayReview } from './review.js';
import { make, plural } from './words.js';

const say = (text) => { $('labels-said').textContent = text; };

/* Asks for a change; `what` says what was done. */
async function change(path, body, what) {
  if (!await mayReview(say)) return;
  try {
    const done = await (await ask(path, undefined, body)).json();
    say(what(done));
    await loadLabels();
  } catch (error) {
    say(`It was not done: ${error.message}`);
  }
}

function item({ label, examples, heard }) {
  const name = make('input', { type: 'text', maxlength: '64', value: label, 'aria-label': `Name of the label ${label}` });
  const rename = make('button', { type: 'button' }, 'Rename');
  rename.addEventListener('click', () => {
    const to = name.value.trim();
    if (to && to !== label) change('api/v1/request/label', { label, rename: to }, () => `“${label}” is called “${to}” now.`);
  });
  const remove = make('button', { type: 'button' }, 'Forget');
  remove.setAttribute('aria-label', `Forget the label ${label}`);
  remove.addEventListener('click', () => change('api/v1/request/label', { label, delete: true }, () => `“${label}” is forgotten.`));
  return make('li', {}, name, make('span', { class: 'dim' }, `${plural(examples, 'example')}, heard ${heard === 1 ? 'once' : plural(heard, 'time')}`), rename, remove);
}

export async function loadLabels() {
  const { labels } = await json('api/v1/labels');
  // what is being typed stays
  if (!$('labels').contains(document.activeElement)) $('labels').replaceChildren(...labels.map(item));
  $('labels-known').replaceChildren(...labels.map(({ label }) => make('option', { value: label })));
  $('labels-count').textContent = labels.length ? String(labels.length) : 'none yet: give an event a label, and sounds like it will have it';
  $('labels-save').disabled = !labels.length;
}

$('labels-save').addEventListener('click', async () => {
  const url = URL.createObjectURL(await (await ask('api/v1/labels/export')).blob());
  make('a', { href: url, download: 'labels.json' }).click();
  setTimeout(() => URL.revokeObjectURL(url), 10000);
});
$('labels-merge').addEventListener('click', () => $('labels-file').click());
$('labels-file').addEventListener('change', async () => {
  const [file] = $('labels-file').files;
  if (!file) return;
  $('labels-file').value = '';
  try {
    const body = JSON.parse(await file.text());
    await change('api/v1/labels/import', body, ({ added, known }) => `${plural(added, 'example')} added, ${known} known before.`);
  } catch (error) {
    say(`${file.name} is no file of labels: ${error.message}`);
  }
});
