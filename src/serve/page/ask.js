/* The page asks this daemon only. The token, where one is needed, is kept for this tab. */

export const $ = (id) => document.getElementById(id);
export const state = {
  token: sessionStorage.getItem('token') || '', overview: null, chosen: null, streams: new Map(), events: [], list: [],
  history: null, columns: [], calibration: null, leave: null, faults: '', heard: 0,
};
const link = new URLSearchParams(location.hash.slice(1));
if (link.get('token')) {
  state.token = link.get('token');
  sessionStorage.setItem('token', state.token);
  link.delete('token');
  history.replaceState(null, '', location.pathname + (link.size ? `#${link}` : ''));
}

const headers = () => (state.token ? { Authorization: `Bearer ${state.token}` } : {});

export async function ask(path, signal, body) {
  const sent = body ? { method: 'POST', body: JSON.stringify(body), headers: { ...headers(), 'Content-Type': 'application/json' } } : { headers: headers() };
  const answer = await fetch(path, { ...sent, signal, cache: 'no-store' });
  if (answer.status === 401) {
    await askToken();
    return ask(path, signal, body);
  }
  if (!answer.ok) throw new Error((await answer.text()).trim() || answer.statusText);
  return answer;
}

export const json = async (path) => (await ask(path)).json();

let asking = null;
/* False where an operator's token was asked for and not given. */
export function askToken(operator = false) {
  asking ??= new Promise((done) => {
    $('ask-wrong').hidden = operator || !state.token;
    $('ask-why').hidden = operator;
    $('ask-operator').hidden = $('ask-leave').hidden = !operator;
    $('token').value = '';
    $('ask').showModal();
    const end = (given) => { asking = null; done(given); };
    $('ask-leave').onclick = () => { $('ask').close(); end(false); };
    $('ask-form').onsubmit = () => {
      state.token = $('token').value.trim();
      sessionStorage.setItem('token', state.token);
      end(true);
    };
  });
  return asking;
}
$('ask').addEventListener('cancel', (event) => event.preventDefault());
