// The text format of Prometheus (version 0.0.4), read strictly: whatever a scraper might refuse or
// guess at is an error here, and so is what the conventions of the format forbid.
//
//   const metrics = parseMetrics(text);
//   metrics.get('belfry_node_num_clients')                     the value of the only sample
//   metrics.get('belfry_client_recover', { recovered: 'yes' }) of the sample with exactly these labels
//   metrics.families   Map of name -> { name, help, type, samples: [{ name, labels, value }] }
//   metrics.histogram('belfry_loop_lag_seconds', labels)       { buckets: [[bound, count]], sum, count }
//       buckets are not cumulative: each has its own count
//
//   quantile(difference(later, earlier), 0.99)   the upper bound of the bucket that has it

const NAME = '[a-zA-Z_:][a-zA-Z0-9_:]*';
const LABEL = '[a-zA-Z_][a-zA-Z0-9_]*="(?:[^"\\\\\\n]|\\\\[\\\\"n])*"';
const HELP_LINE = new RegExp(`^# HELP (${NAME}) (\\S.*)$`);
const TYPE_LINE = new RegExp(`^# TYPE (${NAME}) (counter|gauge|histogram)$`);
const SAMPLE_LINE = new RegExp(`^(${NAME})(?:\\{(${LABEL}(?:,${LABEL})*)\\})? (\\S+)$`);
const NUMBER = /^(?:[+-]?Inf|NaN|[+-]?\d+(?:\.\d+)?(?:e[+-]\d+)?)$/;

function refuse(line, why) {
  throw new Error(`${why}: ${line}`);
}

function numberOf(text, line) {
  if (!NUMBER.test(text)) refuse(line, 'not a number');
  return text.endsWith('Inf') ? (text.startsWith('-') ? -Infinity : Infinity) : Number(text);
}

function labelsOf(text = '', line) {
  const labels = {};
  for (const [, name, value] of text.matchAll(/([a-zA-Z_]\w*)="((?:[^"\\]|\\.)*)"/g)) {
    if (Object.hasOwn(labels, name)) refuse(line, 'a label twice');
    labels[name] = value.replace(/\\(.)/g, (_, c) => (c === 'n' ? '\n' : c));
  }
  return labels;
}

const keyOf = ({ name, labels }) => JSON.stringify([name, Object.entries(labels).sort()]);

/** A family's samples: of its own name, or of a histogram's three. */
function belongs(family, name) {
  const suffixes = family.type === 'histogram' ? ['_bucket', '_sum', '_count'] : [''];
  return suffixes.some(suffix => name === family.name + suffix);
}

/** A histogram's samples, those of each set of labels (but for le) together. */
function groupsOf(samples) {
  const groups = new Map();
  for (const sample of samples) {
    const { le, ...others } = sample.labels;
    const key = keyOf({ name: '', labels: others });
    groups.set(key, [...(groups.get(key) ?? []), sample]);
  }
  return groups;
}

function checkHistogram(name, samples) {
  const buckets = samples.filter(sample => sample.name === `${name}_bucket`);
  const [sum, count, ...more] = samples.slice(buckets.length);
  if (sum?.name !== `${name}_sum` || count?.name !== `${name}_count` || more.length > 0) refuse(name, 'not buckets, _sum and _count in this order');
  const bounds = buckets.map(({ labels: { le } }) => {
    if (le === undefined) refuse(name, 'a bucket without le');
    return numberOf(le, name);
  });
  if (bounds.at(-1) !== Infinity) refuse(name, 'the last bucket is not +Inf');
  if (buckets.at(-1).value !== count.value) refuse(name, '_count is not that of the last bucket');
  for (let i = 1; i < buckets.length; i += 1) {
    if (!(bounds[i - 1] < bounds[i])) refuse(name, 'bounds do not rise');
    if (buckets[i - 1].value > buckets[i].value) refuse(name, 'buckets are not cumulative');
  }
}

function checkFamily(family) {
  const { name, type, samples } = family;
  for (const { value } of samples) {
    if (type !== 'gauge' && !(value >= 0)) refuse(name, `a ${type} below 0`);
    if ((type !== 'gauge' && !/_(seconds|sum)/.test(name) && !Number.isInteger(value)) || !Number.isFinite(value)) refuse(name, 'not a count');
  }
  if (type === 'histogram') {
    for (const group of groupsOf(samples).values()) checkHistogram(name, group);
  }
}

export function parseMetrics(text) {
  if (!text.endsWith('\n')) refuse(text.slice(-80), 'the last line has no end');
  const families = new Map();
  const seen = new Set();
  let family;
  let help;
  for (const line of text.slice(0, -1).split('\n')) {
    let match;
    if ((match = HELP_LINE.exec(line))) {
      if (help || families.has(match[1])) refuse(line, 'HELP of nothing, or twice');
      help = { name: match[1], help: match[2] };
    } else if ((match = TYPE_LINE.exec(line))) {
      if (help?.name !== match[1]) refuse(line, 'TYPE without its HELP right before it');
      family = { ...help, type: match[2], samples: [] };
      families.set(family.name, family);
      help = undefined;
    } else if ((match = SAMPLE_LINE.exec(line))) {
      const sample = { name: match[1], labels: labelsOf(match[2], line), value: numberOf(match[3], line) };
      if (help || !family || !belongs(family, sample.name)) refuse(line, 'a sample outside its family');
      if (seen.has(keyOf(sample))) refuse(line, 'a sample twice');
      seen.add(keyOf(sample));
      family.samples.push(sample);
    } else {
      refuse(line, 'neither HELP, TYPE nor a sample');
    }
  }
  for (const one of families.values()) checkFamily(one);
  return {
    families,
    get: (name, labels) => valueOf(families, name, labels),
    histogram: (name, labels) => histogramOf(families, name, labels),
  };
}

function valueOf(families, name, labels) {
  const samples = families.get(name)?.samples ?? [];
  const fitting = labels ? samples.filter(sample => keyOf(sample) === keyOf({ name, labels })) : samples;
  if (fitting.length !== 1) throw new Error(`${fitting.length} samples of ${name} ${JSON.stringify(labels ?? {})}`);
  return fitting[0].value;
}

function histogramOf(families, name, labels = {}) {
  const samples = groupsOf(families.get(name)?.samples ?? []).get(keyOf({ name: '', labels }));
  if (!samples) throw new Error(`there is no ${name}`);
  const cumulative = samples.slice(0, -2);
  const buckets = cumulative.map(({ labels, value }, i) => [numberOf(labels.le), value - (cumulative[i - 1]?.value ?? 0)]);
  return { buckets, sum: samples.at(-2).value, count: samples.at(-1).value };
}

/** What came into a histogram between two readings. */
export function difference(later, earlier) {
  return {
    buckets: later.buckets.map(([bound, count], i) => [bound, count - earlier.buckets[i][1]]),
    sum: later.sum - earlier.sum,
    count: later.count - earlier.count,
  };
}

/** The upper bound of the bucket that has the q-th part of all; NaN when there is none. */
export function quantile({ buckets, count }, q) {
  let n = 0;
  return buckets.find(([, inBucket]) => (n += inBucket) >= count * q && count > 0)?.[0] ?? NaN;
}
