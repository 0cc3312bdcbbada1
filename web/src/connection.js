// The one WebSocket connection of the page, and the line that shows its state.
import { Centrifuge } from 'centrifuge';

import { byId } from './dom.js';

function endpoint() {
  const scheme = location.protocol === 'https:' ? 'wss:' : 'ws:';
  return `${scheme}//${location.host}/connection/websocket`;
}

function show(state, words, detail) {
  byId('connection').dataset.state = state;
  byId('connection-state').textContent = words;
  byId('connection-detail').textContent = detail;
}

/** Codes from 3000 on come from the hub, those below from this client. */
function reasonText({ code, reason }) {
  if (code === 0) return '';
  return code < 3000 ? reason : `${reason} (${code})`;
}

export function openConnection() {
  const client = new Centrifuge(endpoint(), { minReconnectDelay: 300, maxReconnectDelay: 5000 });
  // A failed attempt is no new state: the reason why the connection was lost stays in sight.
  client.on('connecting', context => show('connecting', context.code === 0 ? 'connecting' : 'reconnecting', reasonText(context)));
  client.on('connected', context => show('connected', 'connected', `${context.transport} · client ${context.client.slice(0, 8)}`));
  client.on('disconnected', context => show('disconnected', 'disconnected', reasonText(context)));
  client.connect();
  return client;
}
