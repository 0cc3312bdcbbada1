// Turns any JSON value into a card's lines: labels out of keys, units out of their endings.
import { el } from './dom.js';

const UNITS = { c: '°C', kmh: 'km/h', ms: 'ms', percent: '%', hpa: 'hPa', mm: 'mm' };
const KNOWN = { pm25: { label: 'PM2.5', unit: 'µg/m³' }, no2: { label: 'NO₂', unit: 'µg/m³' } };
const TITLES = ['title', 'name', 'text'];
const LIST_LIMIT = 4;

const plain = new Intl.NumberFormat('en', { maximumFractionDigits: 2 });
const measured = new Intl.NumberFormat('en', { minimumFractionDigits: 1, maximumFractionDigits: 1 });
const timeOfDay = new Intl.DateTimeFormat('en-GB', { hour: '2-digit', minute: '2-digit', second: '2-digit' });
const dayAndTime = new Intl.DateTimeFormat('en-GB', { weekday: 'short', day: 'numeric', month: 'short', hour: '2-digit', minute: '2-digit' });

/** 'wind_kmh' -> { label: 'wind', unit: 'km/h' }, 'observed_at' -> { label: 'observed' } */
export function describeKey(key) {
  if (KNOWN[key]) return KNOWN[key];
  const words = key.split('_');
  const last = words.length > 1 ? words.at(-1) : '';
  const unit = UNITS[last] ?? '';
  if (unit || last === 'at') words.pop();
  return { label: words.join(' '), unit };
}

function dateText(text) {
  const date = new Date(text);
  const isToday = date.toDateString() === new Date().toDateString();
  return (isToday ? timeOfDay : dayAndTime).format(date);
}

export function scalarText(value, unit = '') {
  if (typeof value === 'number') return (unit ? measured : plain).format(value);
  if (value === null) return '–';
  if (/^\d{4}-\d\d-\d\dT\d\d:\d\d/.test(value)) return dateText(value);
  return String(value);
}

/** Scalars of an object, one level of nesting flattened: [['wind_kmh', 12], ...] */
export function scalars(value, prefix = '') {
  if (value === null || typeof value !== 'object' || Array.isArray(value)) return [];
  return Object.entries(value).flatMap(([key, member]) => {
    if (member !== null && typeof member === 'object') return prefix ? [] : scalars(member, `${key}_`);
    return [[prefix + key, member]];
  });
}

function figure(key, value, isChanged) {
  const { label, unit } = describeKey(key);
  const shown = el('dd', isChanged ? { class: 'changed' } : {}, scalarText(value, unit));
  if (unit) shown.append(el('span', { class: 'unit' }, ` ${unit}`));
  return el('div', { class: typeof value === 'number' ? 'figure number' : 'figure' }, el('dt', {}, label), shown);
}

function figures(value, previous, hiddenKey) {
  const before = new Map(scalars(previous));
  const entries = scalars(value).filter(([key]) => key !== hiddenKey);
  const isChanged = ([key, member]) => before.has(key) && before.get(key) !== member;
  return el('dl', {}, ...entries.map(entry => figure(...entry, isChanged(entry))));
}

/** A number needs its name, a word does not: '34 seats left', 'price 12.50', 'Town Hall'. */
function detail([key, value]) {
  const { label, unit } = describeKey(key);
  if (typeof value === 'number') return `${scalarText(value, unit)} ${unit || label}`;
  const isNumeric = typeof value === 'string' && value.trim() !== '' && Number.isFinite(Number(value));
  return isNumeric ? `${label} ${value}` : scalarText(value);
}

function listItem(item) {
  const entries = scalars(item);
  if (entries.length === 0) return el('li', {}, scalarText(item));
  const title = entries.find(([key]) => TITLES.includes(key)) ?? entries[0];
  const rest = entries.filter(entry => entry !== title && entry[0] !== 'id').map(detail)
    .map(text => text.replaceAll(' ', '\u00a0')); // lines break between the details only
  return el('li', {}, el('strong', {}, scalarText(title[1])), el('span', { class: 'quiet' }, rest.join(' · ')));
}

function list(items) {
  const more = items.length - LIST_LIMIT;
  return el('ul', {}, ...items.slice(0, LIST_LIMIT).map(listItem),
    ...(more > 0 ? [el('li', { class: 'quiet' }, `and ${more} more`)] : []));
}

/** The inside of an upstream's card. previous: the value shown before, to mark what changed;
 *  hiddenKey: a member that says only what was asked for. */
export function valueView(value, previous, hiddenKey) {
  if (value === null || value === undefined) return el('p', { class: 'empty' }, 'No answer so far.');
  if (Array.isArray(value)) return list(value);
  if (typeof value === 'object') return figures(value, previous, hiddenKey);
  return el('p', {}, scalarText(value));
}
