/* The page asks this daemon only. The token, where one is needed, is kept for this tab. */

export const $ = (id) => document.getElementById(id);
export const state = {
  token: sessionStorage.getItem('token') || '', overview: null, chosen: null, streams: new Map(), events: [],
  history: null, columns: [], calibration: null, leave: null, faults: '', heard: 0,
};
const fromLink = new URLSearchParams(location.hash.slice(1)).get('token');
if (fromLink) {
  state.token = fromLink;
  sessionStorage.setItem('token', fromLink);
  history.replaceState(null, '', location.pathname);
}

const headers = () => (state.token ? { Authorization: `Bearer ${state.token}` } : {});

export async function ask(path, signal) {
  const answer = await fetch(path, { headers: headers(), signal, cache: 'no-store' });
  if (answer.status === 401) {
    await askToken();
    return ask(path, signal);
  }
  if (!answer.ok) throw new Error((await answer.text()).trim() || answer.statusText);
  return answer;
}

export const json = async (path) => (await ask(path)).json();

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
