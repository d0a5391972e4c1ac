/* The page asks this daemon only. The token, where one is needed, is kept for this tab. */

export const $ = (id) => document.getElementById(id);
export const state = {
  token: sessionStorage.getItem('token') || '', overview: null, chosen: null, streams: new Map(), events: [], list: [],
  history: null, columns: [], calibration: null, leave: null, faults: '', heard: 0,
  /* how far the clock of the daemon is ahead of that of the browser */
  ahead_ms: 0,
};
const link = new URLSearchParams(location.hash.slice(1));
if (link.get('token')) {
  state.token = link.get('token');
  sessionStorage.setItem('token', state.token);
  link.delete('token');
  history.replaceState(null, '', location.pathname + (link.size ? `#${link}` : ''));
}

const headers = () => (state.token ? { Authorization: `Bearer ${state.token}` } : {});
/* The token that was refused last, and the one before that of an operator. */
let [wrong, former] = [null, ''];

export async function ask(path, signal, body) {
  // each wrong token counts as a guess
  while (asking && state.token === wrong) await asking;
  const used = state.token;
  const sent = body ? { method: 'POST', body: JSON.stringify(body), headers: { ...headers(), 'Content-Type': 'application/json' } } : { headers: headers() };
  const answer = await fetch(path, { ...sent, signal, cache: 'no-store' });
  if (answer.status === 401) {
    wrong = used;
    if (state.token === used && !await askToken() && state.token === used) {
      [state.token, former] = [former, ''];
      sessionStorage.setItem('token', state.token);
    }
    return ask(path, signal, body);
  }
  if (!answer.ok) throw new Error((await answer.text()).trim() || answer.statusText);
  return answer;
}

export const json = async (path) => (await ask(path)).json();

let asking = null;
/* False where it was not given: of an operator, or after a wrong one. */
export function askToken(operator = false) {
  asking ??= new Promise((done) => {
    const failed = !operator && state.token !== '';
    $('ask-wrong').hidden = !failed;
    $('ask-why').hidden = operator || failed;
    $('ask-operator').hidden = !operator;
    $('ask-leave').hidden = !operator && !failed;
    $('token').value = '';
    $('ask').showModal();
    const end = (given) => { asking = null; done(given); };
    $('ask-leave').onclick = () => { $('ask').close(); end(false); };
    $('ask-form').onsubmit = () => {
      if (operator) former = state.token;
      state.token = $('token').value.trim();
      sessionStorage.setItem('token', state.token);
      end(true);
    };
  });
  return asking;
}
$('ask').addEventListener('cancel', (event) => event.preventDefault());
