// The feed `city`: cards of its values, the log of what was pushed, and the refresh button.
import { post } from './api.js';
import { createChart } from './chart.js';
import { byId, el, prependEntry, showError } from './dom.js';
import { showRun } from './run.js';
import { follow } from './subscription.js';
import { clockTime, showAge } from './time.js';
import { valueView } from './values.js';

const FEED = 'city';
const PARAM = 'city';
const LOG_LIMIT = 6;
const REPEAT_MS = 5000;

export function openFeed(client) {
  const chart = createChart();
  let shown = {}; // the values on the cards
  let city = '';
  let unfollow = () => {};
  const busy = new Set(); // the cities being refreshed

  function showCards(data) {
    const cards = Object.entries(data).map(([name, value]) =>
      el('article', { class: 'card' }, el('h3', {}, name), valueView(value, shown[name], PARAM)));
    byId('cards').replaceChildren(...cards);
    shown = data;
  }

  function log({ data, offset }, when) {
    const names = Object.keys(data).filter(name => JSON.stringify(data[name]) !== JSON.stringify(shown[name]));
    prependEntry(byId('pushes'), el('li', {},
      el('span', { class: 'offset' }, `#${offset}`),
      el('span', { class: 'what' }, names.join(', ')),
      el('span', { class: 'quiet' }, when)), LOG_LIMIT, byId('pushes-empty'));
  }

  function take(publication, when) {
    log(publication, when);
    chart.add(publication.data);
    showCards(publication.data);
  }

  function fresh(text) {
    showAge(byId('feed-fresh'), null);
    byId('feed-fresh').textContent = text;
  }

  const handlers = {
    publication(publication) {
      take(publication, clockTime(new Date()));
      showAge(byId('feed-fresh'), Date.now(), 'updated ', ` · push #${publication.offset}`);
    },
    history(publications) {
      for (const publication of publications) take(publication, 'earlier');
      if (publications.length > 0) fresh(`as stored · push #${publications.at(-1).offset}`);
      else refresh();
    },
    lost: refresh,
    refused: reason => showError(byId('feed-error'), `Cannot subscribe to ${FEED}:${city}: ${reason}.`),
  };

  function clear() {
    shown = {};
    chart.clear();
    byId('pushes').replaceChildren();
    byId('pushes-empty').hidden = false;
    byId('cards').replaceChildren();
    fresh('');
    showError(byId('feed-error'), '');
  }

  function choose(name) {
    unfollow();
    clear();
    city = name;
    byId('pushes-channel').replaceChildren(el('code', {}, `${FEED}:${city}`));
    showBusy();
    unfollow = follow(client, `${FEED}:${city}`, handlers);
  }

  function showBusy() {
    byId('refresh').setAttribute('aria-busy', String(busy.has(city)));
  }

  async function refresh() {
    const asked = city;
    if (busy.has(asked)) return;
    busy.add(asked);
    showBusy();
    const started = performance.now();
    let result = null;
    let problem = '';
    try {
      result = await post('/demo/refresh', { feed: FEED, params: { [PARAM]: asked } });
    } catch (error) {
      problem = error.message;
    }
    busy.delete(asked);
    showBusy();
    if (asked !== city) return; // another city was chosen meanwhile
    showError(byId('feed-error'), problem);
    if (result) showRun(result, performance.now() - started);
  }

  byId('city').addEventListener('change', event => {
    if (event.target.checkValidity() && event.target.value !== city) choose(event.target.value);
  });
  byId('feed-form').addEventListener('submit', event => {
    event.preventDefault();
    refresh();
  });
  client.on('connected', () => showError(byId('feed-error'), ''));
  setInterval(() => byId('repeat').checked && refresh(), REPEAT_MS);
  choose(byId('city').value);
}
