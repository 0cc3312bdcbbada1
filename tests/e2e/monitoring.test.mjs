// What examples/ has for Prometheus and Grafana: promtool takes it, and every metric and label that it names is one of a hub's.
import assert from 'node:assert/strict';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, test } from 'node:test';

import { metricsText, promtool, startBusyHub } from './lib/busy.mjs';
import { temporaryFolder } from './lib/command.mjs';
import { parseMetrics } from './lib/prometheus.mjs';

const example = name => fileURLToPath(new URL(`../../examples/${name}`, import.meta.url));
const METRIC = /\b(?:belfry|process)_\w+/g;

/** Names as they stand in expressions, with the labels that each may have there. */
function seriesOf(families) {
  const series = new Map();
  for (const { samples } of families.values()) {
    for (const { name, labels } of samples) {
      const known = series.get(name) ?? new Set(['instance', 'job']);
      for (const label of Object.keys(labels)) known.add(label);
      series.set(name, known);
    }
  }
  return series;
}

/** What is wrong with an expression: metrics and labels that no hub has. */
function strange(series, expression) {
  const names = expression.match(METRIC) ?? [];
  const problems = names.filter(name => !series.has(name));
  for (const [, name, matchers] of expression.matchAll(/\b((?:belfry|process)_\w+)\{([^}]*)\}/g)) {
    for (const [, label] of matchers.matchAll(/(\w+)\s*(?:=~|!~|!=|=)/g)) {
      if (!series.get(name)?.has(label)) problems.push(`${name}{${label}}`);
    }
  }
  const known = new Set(names.flatMap(name => [...(series.get(name) ?? [])]));
  for (const [, by] of expression.matchAll(/\bby \(([^)]*)\)/g)) {
    problems.push(...by.split(/,\s*/).filter(label => !known.has(label)).map(label => `by (${label})`));
  }
  return problems;
}

async function busySeries(t) {
  return seriesOf(parseMetrics(await metricsText(await startBusyHub(t))).families);
}

/** A file of it: JSON is YAML, too. */
async function written(t, content) {
  const file = join(await temporaryFolder(t), 'rules.yml');
  await writeFile(file, JSON.stringify(content));
  return file;
}

async function dashboard() {
  return JSON.parse(await readFile(example('grafana/belfry.json'), 'utf8'));
}

describe('the dashboard', () => {
  test('asks for nothing but what a hub has', async t => {
    const series = await busySeries(t);
    const { panels, templating } = await dashboard();
    const targets = panels.flatMap(({ title, targets = [] }) => targets.map(({ expr, legendFormat }) => ({ title, expr, legendFormat })));
    assert.ok(targets.length > 60);
    for (const { title, expr, legendFormat } of targets) {
      assert.match(expr, METRIC, title);
      assert.deepEqual(strange(series, expr), [], `${title}: ${expr}`);
      const labels = new Set([...expr.matchAll(/\bby \(([^)]*)\)/g)].flatMap(([, by]) => by.split(/,\s*/)));
      const shown = [...legendFormat.matchAll(/\{\{(\w+)\}\}/g)].map(([, label]) => label).filter(label => label !== 'instance');
      for (const label of shown) assert.ok(labels.has(label), `${title}: the legend has ${label}, the expression has not`);
    }
    for (const { name, query } of templating.list.filter(({ type }) => type === 'query')) {
      const [, metric, label] = /^label_values\((\w+), (\w+)\)$/.exec(query.query);
      assert.ok(series.get(metric)?.has(label), name);
    }
  });

  test('shows each of the great things', async () => {
    const text = JSON.stringify(await dashboard());
    for (const name of [
      'belfry_client_connections_inflight', 'belfry_transport_messages_sent', 'belfry_transport_messages_received', 'belfry_publications_total', 'belfry_loop_lag_seconds_bucket',
      'belfry_outbox_bytes', 'belfry_storage_queue_bytes', 'belfry_storage_commit_seconds_bucket', 'belfry_tail_hits_total', 'belfry_upstream_duration_seconds_bucket',
      'belfry_upstream_calls_total', 'belfry_upstream_breaker_state', 'belfry_feed_shared_total', 'belfry_feeds_watched', 'belfry_slow_consumers_total',
    ]) assert.ok(text.includes(name), name);
  });

  test('has expressions that Prometheus understands, and panels beside each other', async t => {
    const { panels } = await dashboard();
    const expressions = panels.flatMap(({ targets = [] }) => targets.map(({ expr }) => expr));
    const rules = expressions.map((expr, i) => ({ record: `expression_${i}`, expr: expr.replaceAll('$__rate_interval', '1m').replaceAll(/\$\w+/g, '.*') }));
    const file = await written(t, { groups: [{ name: 'dashboard', rules }] });
    const { code, out } = await promtool(['check', 'rules', file]);
    assert.equal(code, 0, out);
    assert.ok(new Set(panels.map(({ id }) => id)).size === panels.length);
    for (const { gridPos: { x, w } } of panels) assert.ok(x + w <= 24);
  });
});

describe('the examples for Prometheus', () => {
  test('are to the liking of promtool', async () => {
    const { code, out } = await promtool(['check', 'config', example('prometheus.yml')]);
    assert.equal(code, 0, out);
    assert.match(out, /SUCCESS: \d+ rules found/);
  });

  test('have alerts about nothing but what a hub has', async t => {
    const series = await busySeries(t);
    const text = await readFile(example('prometheus-alerts.yml'), 'utf8');
    const expressions = [...text.matchAll(/^ +expr: (.*)$/gm)].map(([, expr]) => expr);
    assert.ok(expressions.length >= 10);
    for (const expr of expressions) assert.deepEqual(strange(series, expr), [], expr);
  });

  test('have alerts that fire when they should', async t => {
    const file = await written(t, {
      rule_files: [example('prometheus-alerts.yml')],
      evaluation_interval: '1m',
      tests: [{
        interval: '1m',
        input_series: [
          { series: 'up{job="belfry",instance="a"}', values: '1 0 0 0' },
          { series: 'belfry_storage_failed_total{instance="a"}', values: '0 0 1 1' },
          { series: 'belfry_config_last_reload_successful{instance="a"}', values: '1 1 1 0' },
        ],
        alert_rule_test: [
          { eval_time: '1m', alertname: 'BelfryDown', exp_alerts: [] },
          { eval_time: '3m', alertname: 'BelfryDown', exp_alerts: [{ exp_labels: { severity: 'page', job: 'belfry', instance: 'a' }, exp_annotations: { summary: 'a does not answer.' } }] },
          { eval_time: '1m', alertname: 'BelfryStorageFails', exp_alerts: [] },
          { eval_time: '3m', alertname: 'BelfryStorageFails', exp_alerts: [{ exp_labels: { severity: 'page', instance: 'a' }, exp_annotations: { summary: 'Writes to the storage fail: the disk may be full. Publishers get errors.' } }] },
          { eval_time: '2m', alertname: 'BelfryConfigurationRefused', exp_alerts: [] },
          { eval_time: '3m', alertname: 'BelfryConfigurationRefused', exp_alerts: [{ exp_labels: { severity: 'warning', instance: 'a' }, exp_annotations: { summary: 'The configuration file is broken: the hub goes on with the one before, and would not start again.' } }] },
        ],
      }],
    });
    const { code, out } = await promtool(['test', 'rules', file]);
    assert.equal(code, 0, out);
  });
});

test('the check itself finds what no hub has', async t => {
  const series = await busySeries(t);
  assert.deepEqual(strange(series, 'rate(belfry_nothing_total[5m])'), ['belfry_nothing_total']);
  assert.deepEqual(strange(series, 'belfry_outbox_bytes{feed="a"}'), ['belfry_outbox_bytes{feed}']);
  assert.deepEqual(strange(series, 'sum by (feed) (belfry_outbox_bytes)'), ['by (feed)']);
});
