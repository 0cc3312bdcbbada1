// Notifications in news:all: a field that posts one and the list of those received.
import { post } from './api.js';
import { byId, el, prependEntry, showError } from './dom.js';
import { follow } from './subscription.js';
import { clockTime } from './time.js';

const CHANNEL = 'news:all';
const LIST_LIMIT = 20;

function entry({ data, offset }) {
  const at = new Date(data?.at);
  return el('li', {},
    el('span', { class: 'offset' }, `#${offset ?? ''}`),
    el('span', { class: 'what' }, typeof data?.text === 'string' ? data.text : JSON.stringify(data)),
    el('span', { class: 'quiet' }, Number.isNaN(at.valueOf()) ? '' : clockTime(at)));
}

function take(publication) {
  prependEntry(byId('news'), entry(publication), LIST_LIMIT, byId('news-empty'));
}

function curlText() {
  const body = JSON.stringify({ channel: CHANNEL, data: { text: 'Hello from a backend' } });
  return `curl -H 'X-API-Key: ...' -d '${body}' \\\n  ${location.origin}/api/publish`;
}

async function send(event) {
  event.preventDefault();
  try {
    await post('/demo/notify', { text: byId('news-text').value });
    event.target.reset();
    showError(byId('news-error'), '');
  } catch (error) {
    showError(byId('news-error'), error.message);
  }
}

export function openNews(client) {
  follow(client, CHANNEL, {
    publication: take,
    history: publications => publications.forEach(take),
    recovered: count => { byId('news-recovery').textContent = `back again: recovered ${count} missed`; },
    lost: () => { byId('news-recovery').textContent = 'back again: the history does not reach that far'; },
    refused: reason => showError(byId('news-error'), `Cannot subscribe to ${CHANNEL}: ${reason}.`),
  });
  client.on('connected', () => showError(byId('news-error'), ''));
  byId('news-form').addEventListener('submit', send);
  byId('news-curl').textContent = curlText();
}
