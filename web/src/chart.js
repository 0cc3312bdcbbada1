// A line of the last values of one number of the feed, as inline SVG.
import { byId } from './dom.js';
import { describeKey, scalars, scalarText } from './values.js';

const SVG = 'http://www.w3.org/2000/svg';
const WIDTH = 320;
const HEIGHT = 64;
const MARGIN = 6;
const LIMIT = 40;

function svg(tag, attributes) {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  return element;
}

/** What to draw: a temperature if there is one, else the first number. */
function pick(data) {
  const numbers = Object.entries(data).flatMap(([upstream, value]) =>
    scalars(value).filter(([, member]) => typeof member === 'number').map(([key, member]) => ({ upstream, key, member })));
  return numbers.find(({ key }) => key.startsWith('temp')) ?? numbers[0];
}

function points(values) {
  const low = Math.min(...values);
  const span = Math.max(...values) - low || 1;
  const step = (WIDTH - 2 * MARGIN) / Math.max(1, values.length - 1);
  return values.map((value, i) => [MARGIN + i * step, HEIGHT - MARGIN - ((value - low) / span) * (HEIGHT - 2 * MARGIN)]);
}

export function createChart() {
  let values = [];

  function draw(picked) {
    const { label, unit } = describeKey(picked.key);
    const range = [Math.min(...values), Math.max(...values)].map(value => scalarText(value, unit)).join(' to ');
    byId('chart-caption').textContent = `${label}, last ${values.length}: ${range} ${unit}`;
    const line = points(values);
    const [x, y] = line.at(-1);
    const picture = svg('svg', { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, 'aria-hidden': 'true', preserveAspectRatio: 'none' });
    picture.append(svg('polyline', { points: line.map(point => point.join(',')).join(' '), 'vector-effect': 'non-scaling-stroke' }));
    picture.append(svg('line', { x1: x, x2: x, y1: y, y2: y, class: 'last', 'vector-effect': 'non-scaling-stroke' }));
    byId('chart-line').replaceChildren(picture);
    byId('chart').hidden = values.length < 2;
  }

  return {
    add(data) {
      const picked = pick(data);
      if (!picked) return;
      values = [...values, picked.member].slice(-LIMIT);
      draw(picked);
    },
    clear() {
      values = [];
      byId('chart').hidden = true;
    },
  };
}
