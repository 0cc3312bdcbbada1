// The table of one refresh: what each upstream answered and how long it took, as bars on one scale.
import { byId, el } from './dom.js';

const WORDS = {
  timeout: 'timed out', http_error: 'HTTP error',
  connect_error: 'not reachable', invalid_json: 'not JSON', too_large: 'too large',
};

function msText(ms) {
  return ms < 1 ? '< 1 ms' : `${Math.round(ms)} ms`;
}

function bar(durationMs, longestMs) {
  const inner = el('span', { class: 'bar' });
  inner.style.width = `${Math.max(2, (100 * durationMs) / longestMs)}%`;
  return el('span', { class: 'track', 'aria-hidden': 'true' }, inner);
}

function row([name, { outcome, status, duration_ms: durationMs }], longestMs) {
  const what = `${WORDS[outcome] ?? outcome}${status && status !== 200 ? ` ${status}` : ''}`;
  return el('tr', { 'data-outcome': outcome },
    el('th', { scope: 'row' }, name),
    el('td', {}, el('span', { class: 'outcome' }, what)),
    el('td', { class: 'time' }, bar(durationMs, longestMs)),
    el('td', { class: 'number' }, msText(durationMs)));
}

function table(entries) {
  const longestMs = Math.max(1, ...entries.map(([, upstream]) => upstream.duration_ms));
  return el('table', {},
    el('thead', {}, el('tr', {}, ...['Upstream', 'Outcome', 'Time'].map((text, i) =>
      el('th', i === 2 ? { scope: 'col', colspan: '2' } : { scope: 'col' }, text)))),
    el('tbody', {}, ...entries.map(entry => row(entry, longestMs))));
}

/** result: of the refresh; elapsedMs: as seen from this page. */
export function showRun(result, elapsedMs) {
  const entries = Object.entries(result.upstreams);
  const together = entries.reduce((sum, [, upstream]) => sum + upstream.duration_ms, 0);
  byId('run-summary').textContent = `${result.changed ? `changed: pushed as #${result.offset}` : 'unchanged: not pushed'}${
    result.completed ? '' : ', incomplete'}`;
  byId('run').replaceChildren(table(entries),
    el('p', { class: 'quiet' }, `Answered after ${msText(elapsedMs)}. One after the other: ${msText(together)} at least.`));
}
